package state

import (
	"slices"
	"strings"
	"time"
)

// A Sandbox is the combined content of the state files of its containers. It is immutable and safe
// for concurrent use. Listings of a Root share the pointer as long as none of the sandbox's files
// is read again. A file is read again when it has changed, and while its last change is so recent
// that a further change could go unnoticed. All fields except Containers come from the file of the
// root container.
type Sandbox struct {
	ID            string
	CreatedAt     time.Time
	Status        string // one of the constants StatusCreating etc., or one that a later runsc defines
	PID           int    // of the sandbox process on the host; 0: no process
	MetricServer  string // value of --metric-server, with %RUNTIME_ROOT% not replaced; empty: none
	Registration  *Registration
	Metadata      []Pair // sorted by name
	PodName       string // chosen by users; may have any bytes
	Namespace     string // chosen by users; may have any bytes
	ControlSocket string // path of the control socket
	StartTime     time.Time
	Checkpointed  bool
	Restored      bool
	CPUSaved      time.Duration // CPU time that restoring saved
	WallSaved     time.Duration // wall time that restoring saved

	Dir        Dir          // the directory in which the root container's file was
	Containers []*Container // the root container first, the others sorted by ID
}

// A Dir identifies a directory, whatever its path leads to at another time.
type Dir struct{ Device, Inode uint64 }

// newSandbox returns the sandbox of the containers, of which the first is the root container.
func newSandbox(containers []*Container) *Sandbox {
	root := containers[0]
	s := root.facts
	s.ID, s.CreatedAt, s.Status = root.ID, root.CreatedAt, root.Status
	s.Containers = slices.Clone(containers) // they are part of the list of all
	return &s
}

// group sorts containers into sandboxes, sorted by ID. A sandbox with the same containers as before
// stays the same pointer; before is the result for earlier containers. Containers without a root
// container belong to no sandbox.
func group(containers []*Container, before []*Sandbox) []*Sandbox {
	slices.SortFunc(containers, compare)
	var sandboxes []*Sandbox
	for len(containers) > 0 {
		root := containers[0]
		n := 1
		for n < len(containers) && containers[n].SandboxID == root.SandboxID {
			n++
		}
		if root.IsRoot() {
			for len(before) > 0 && before[0].ID < root.ID {
				before = before[1:]
			}
			if len(before) > 0 && slices.Equal(before[0].Containers, containers[:n]) {
				sandboxes = append(sandboxes, before[0])
			} else {
				sandboxes = append(sandboxes, newSandbox(containers[:n]))
			}
		}
		containers = containers[n:]
	}
	return sandboxes
}

// compare orders containers by sandbox, the root container first, and then by ID.
func compare(a, b *Container) int {
	if c := strings.Compare(a.SandboxID, b.SandboxID); c != 0 {
		return c
	}
	switch {
	case a.IsRoot() && !b.IsRoot():
		return -1
	case b.IsRoot() && !a.IsRoot():
		return 1
	}
	return strings.Compare(a.ID, b.ID)
}
