// Package metricserver is the metric server for gVisor sandboxes, for programs that embed it. The program sandmeter is a thin shell
// around it.
//
// It installs no signal handlers, has no global state and tunes nothing of the process.
package metricserver
