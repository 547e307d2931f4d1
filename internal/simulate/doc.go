// Package simulate simulates gVisor sandboxes, thousands of them in one process if needed. Its
// sandboxes are honest; the package liars below it has hostile ones. A [Sandbox] has everything
// that a metric server reads of a real sandbox: state files in a runtime root and a control socket,
// both in the exact format of runsc. [Start] makes one from a [Spec], which by default is a plain
// running sandbox. [StartFleet] makes many, cheaply. A [Behavior] changes the replies. With
// Spec.OwnProcess, each sandbox has its own process. The package imports no package of the server
// and encodes everything itself, so that a mistake in one is not repeated in the other. It does not
// need testing.TB, so programs can use it too. runsc writes the metrics of a registration in the
// order of a Go map, so two sandboxes register different bytes, though they register the same
// metrics. A [Fleet] does the same unless SameOrder is set; a single sandbox does if its Spec has
// an Order.
package simulate
