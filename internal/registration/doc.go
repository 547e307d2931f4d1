// Package registration finds the registration of sandboxes that have none of their own: the list of
// metrics that runsc registers in every sandbox of one build, from a source that the sandbox does
// not control. That is the output of `runsc metric-metadata`, from a runsc on this host or in a
// file.
//
// The package decides which programs may run, runs them with limits, and treats their output as
// foreign bytes. It does not look into sandboxes and never asks them for their metrics.
package registration
