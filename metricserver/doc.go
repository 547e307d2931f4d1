// Package metricserver is the gVisor metric server as a library. The sandmeter program is a thin
// wrapper around it.
//
// The package installs no signal handlers, has no global state and changes no process-wide
// settings.
package metricserver
