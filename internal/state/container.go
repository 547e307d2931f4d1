package state

import (
	"regexp"
	"strings"
	"time"
)

// Statuses of a container, as runsc names them.
const (
	StatusCreating = "creating"
	StatusCreated  = "created"
	StatusRunning  = "running"
	StatusStopped  = "stopped"
	StatusPaused   = "paused"
)

// A Container is what one state file says. It is immutable: a changed file becomes another Container.
type Container struct {
	ID        string
	SandboxID string
	CreatedAt time.Time
	Status    string // one of the statuses above, or what a later runsc calls it
	Spec      Spec
	Sandbox   SandboxFacts // of the sandbox, as this file has them; a root container's file is the one that counts
}

// IsRoot reports whether the container is the one that its sandbox was made with.
func (c *Container) IsRoot() bool { return c.ID == c.SandboxID }

// A Spec is what matters of the container's OCI runtime specification.
type Spec struct {
	Present      bool
	OCIVersion   string
	RunsAsUID0   bool
	NVProxy      bool     // annotation dev.gvisor.internal.nvproxy is "true"
	TPUProxy     bool     // annotation dev.gvisor.internal.tpuproxy is "true"
	Capabilities []string // union of the five sets, as they are written, sorted, each once
}

// SandboxFacts is the part of a state file that is about the sandbox rather than the container.
type SandboxFacts struct {
	PID           int    // of the sandbox process on the host; 0 when there is none
	MetricServer  string // the address it was created with, %RUNTIME_ROOT% not replaced; empty: none was asked for
	Registration  *Registration
	Metadata      []Pair // sorted by name
	PodName       string // chosen by users: any bytes
	Namespace     string // chosen by users: any bytes
	ControlSocket string // path of the control socket
	StartTime     time.Time
	Checkpointed  bool
	Restored      bool
	CPUSaved      time.Duration
	WallSaved     time.Duration
}

// A Pair is one entry of a string map.
type Pair struct{ Name, Value string }

// A Registration is the list of metrics that a sandbox registered before any process ran in it, as JSON with the metrics sorted.
// Registrations of one Root that have the same metrics are one pointer.
type Registration struct{ JSON []byte }

const (
	fileSuffix = ".state"
	fileMiddle = "_sandbox:"
)

var validID = regexp.MustCompile(`^[\w+.-]+$`)

// parseName splits the name of a state file into the IDs of the container and its sandbox. IDs cannot hold a colon.
func parseName(name string) (containerID, sandboxID string, ok bool) {
	base, ok := strings.CutSuffix(name, fileSuffix)
	if !ok {
		return "", "", false
	}
	containerID, sandboxID, ok = strings.Cut(base, fileMiddle)
	return containerID, sandboxID, ok && validID.MatchString(containerID) && validID.MatchString(sandboxID)
}
