// Package runsc runs real gVisor sandboxes by driving the runsc program, for the demo and for tests.
//
// A Node is a runtime root of its own in a temporary folder, and the containers in it:
//
//	node, err := runsc.NewNode(runsc.Config{Runsc: path, Program: static})
//	defer node.Close()
//	err = node.Run(ctx, runsc.Container{ID: "one", Args: []string{"workload", "idle"}, MetricServer: address})
//
// A container's root filesystem holds one file, a static program; nothing is pulled or unpacked. Nothing is inherited either: standard
// input is empty and what a container prints goes to a file. Every call of runsc ends within [CommandTimeout], and Close leaves nothing
// behind: no container, process, mount or folder, whatever went wrong before.
package runsc
