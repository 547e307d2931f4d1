package state

import (
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

// A Container is the content of one state file. It is immutable and safe for concurrent use: a
// changed file becomes another Container.
type Container struct {
	ID        string
	SandboxID string
	CreatedAt time.Time
	Status    string // one of the statuses above, or one that a later runsc defines
	GoferPID  int    // of the process that gives the container its files; 0: none
	Spec      Spec
	facts     Sandbox // the sandbox in this file; only the root container's is used
}

// IsRoot reports whether the container is the root container: the first container of its sandbox,
// with the same ID.
func (c *Container) IsRoot() bool { return c.ID == c.SandboxID }

// A Spec is the relevant part of the container's OCI runtime specification.
type Spec struct {
	Present      bool
	OCIVersion   string
	RunsAsUID0   bool
	NVProxy      bool     // annotation dev.gvisor.internal.nvproxy is "true"
	TPUProxy     bool     // annotation dev.gvisor.internal.tpuproxy is "true"
	Capabilities []string // union of the five sets, with the prefix CAP_, sorted, without duplicates

	ContainerName string  // from annotations of containerd or CRI-O; empty: none; may have any bytes
	PodUID        string  // from these annotations; empty: none; may have any bytes
	CgroupsPath   string  // as in the spec, or made up by runsc
	CPULimit      float64 // in cores; 0: none
	MemoryLimit   int64   // in bytes; 0: none
	CgroupMount   bool    // cgroups are mounted in the container

	Image     string // from these annotations; empty: none; may have any bytes
	Pause     bool   // it is the container that holds a pod's namespaces, according to these annotations
	CPUQuota  int64  // in microseconds per CPUPeriod; 0: no limit
	CPUPeriod int64  // in microseconds; 0: not in the spec
	CPUShares int64  // 0: not in the spec

	// Annotation is the value of the annotation that NewShared names, cut off at
	// MaxAnnotation bytes; empty: none; may have any bytes.
	Annotation string
}

// MaxAnnotation is how many bytes of the value of an annotation a Spec has.
const MaxAnnotation = 256

// A Pair is one entry of a string map.
type Pair struct{ Name, Value string }

// A Registration is the list of metrics that a sandbox registered before any process ran in it, as
// JSON with the metrics sorted. Registrations of Roots with one Shared and with the same metrics are the
// same pointer, unless there are many different ones. It is immutable.
type Registration struct {
	JSON []byte
	// Printed is whether it is from the runsc that started the sandbox, and not from its state file.
	Printed bool
}

const (
	fileSuffix = ".state"
	fileMiddle = "_sandbox:"
)

// ContainerOf returns the IDs of the container whose state a file with this name has, and of its sandbox. Both
// are empty if the name is not one of a state file. The root container has the ID of the sandbox.
func ContainerOf(name string) (containerID, sandboxID string) {
	base, isState := strings.CutSuffix(name, fileSuffix)
	containerID, sandboxID, _ = strings.Cut(base, fileMiddle)
	if !isState || !validID(containerID) || !validID(sandboxID) { // IDs never have a colon
		return "", ""
	}
	return containerID, sandboxID
}

// FileName returns the name of the state file of a sandbox's root container, or "" if runsc does not
// accept the ID.
func FileName(sandboxID string) string {
	if !validID(sandboxID) {
		return ""
	}
	return sandboxID + fileMiddle + sandboxID + fileSuffix
}

// validID reports whether runsc accepts the string as an ID.
func validID(id string) bool {
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_', c == '+', c == '.', c == '-':
		default:
			return false
		}
	}
	return id != ""
}
