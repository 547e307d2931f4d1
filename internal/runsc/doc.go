// Package runsc runs real gVisor sandboxes by driving the runsc program, for the demo and for
// tests. A Node is a runtime root in a temporary directory, with its containers:
//
//	node, err := runsc.NewNode(runsc.Config{Runsc: path, Program: static})
//	defer node.Close()
//	err = node.Run(ctx, runsc.Container{ID: "one", Args: []string{"workload", "idle"}, MetricServer: address})
//
// The runsc of a release runs sandboxes with the other programs of the release, or fails: see
// [ReleaseFlags].
//
// The root filesystem of a container has one file, a static program; no image is pulled or
// unpacked. Standard input is empty, and output goes to a file. Every call of runsc ends within
// [CommandTimeout], and Close removes everything, even after errors: containers, processes, mounts
// and directories.
package runsc
