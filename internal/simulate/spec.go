package simulate

import (
	"os"
	"path/filepath"
	"time"
)

// Spec says what a sandbox is. Only ID is needed: with the rest left zero it is running, in this process,
// with the default capabilities of `runsc spec`, the real registration and the values of an idle shell.
//
// Maps, slices and pointers in it are the sandbox's once it is started.
type Spec struct {
	ID   string
	Root Container   // the container that the sandbox was made for; its ID is the sandbox's
	More []Container // the other containers of the pod

	Pod, Namespace string // they also become annotations of the containers, as a CRI sets them

	// MetricServer is the --metric-server that the sandbox was created with; DefaultMetricServer if empty.
	MetricServer string
	// Uninstrumented is a sandbox without a metric server: it has no address and no registration.
	Uninstrumented bool

	StartTime time.Time // now, if zero

	PID int // of the sandbox process: this process if 0, and "gone" (0 in the file) if negative
	// OwnProcess gives the sandbox a process of its own instead of PID: a child of this one that sleeps, and that Stop kills.
	OwnProcess bool
	// Cgroup, if not empty, is a directory that does not exist in a cgroup file system of version 1 or 2. It is made for the process of
	// OwnProcess, and removed with it.
	Cgroup string

	Restored, Checkpointed      bool
	CPUTimeSaved, WallTimeSaved time.Duration // as the state file has them
	// SavedAtRestore is what containerManager.GetSavings returns.
	SavedAtRestore Savings

	Metadata map[string]string // DefaultMetadata() if nil

	// Registration is what the sandbox registered; the real one if nil.
	Registration *Registration
	// Order is the seed of the order that the registration's metrics come in; 0 leaves it as it is.
	Order uint64

	// ControlSocket is where the sandbox listens, and says so; <root>/runsc-<ID>.sock if empty.
	ControlSocket string
	// NoSocket is a sandbox of state files only: nothing listens.
	NoSocket bool
	// Frozen is a sandbox that starts as Freeze would make it.
	Frozen bool

	// EditState, if set, has the last word on the bytes of the state file of a container.
	EditState func(containerID string, state []byte) []byte

	Points      []Point // the values at the start; if nil, Idle() with the real registration, else none
	Growth      int64   // added to every counter at every Export
	ShuffleKeys bool    // fields of JSON objects in replies come in orders other than runsc's

	// Behavior decides what goes over the control socket; nil is Honest.
	Behavior Behavior
}

// Container is what a state file says of one container.
type Container struct {
	ID        string    // of a container in Spec.More; the root container has the sandbox's
	Status    string    // "running", if empty
	CreatedAt time.Time // 4 ms after the sandbox's StartTime, if zero; its offset from UTC is kept
	GoferPID  int       // the sandbox's PID, if 0

	Bundle       string        // /var/bundles/<ID>, if empty
	Args         []string      // sleep 3600, if nil
	UID          int           // that its process began with
	Capabilities *Capabilities // DefaultCapabilities(), if nil
	OCIVersion   string        // 1.0.0, if empty
	Annotations  map[string]string
}

// Capabilities are the five capability sets of a container, in names as of CAP_KILL.
type Capabilities struct {
	Bounding    []string `json:"bounding,omitempty"`
	Effective   []string `json:"effective,omitempty"`
	Inheritable []string `json:"inheritable,omitempty"`
	Permitted   []string `json:"permitted,omitempty"`
	Ambient     []string `json:"ambient,omitempty"`
}

// Savings is the reply to containerManager.GetSavings.
type Savings struct {
	CPUTimeSaved  time.Duration
	WallTimeSaved time.Duration
}

// DefaultMetricServer is the address that sandboxes name when their Spec names none.
const DefaultMetricServer = "/run/runsc-metrics.sock"

// DefaultCapabilities returns those of `runsc spec`: three, in four of the five sets.
func DefaultCapabilities() *Capabilities {
	names := []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
	return &Capabilities{Bounding: names, Effective: names, Inheritable: names, Permitted: names}
}

// DefaultMetadata returns the metric metadata of a real sandbox.
func DefaultMetadata() map[string]string {
	return map[string]string{
		"coretags": "false", "cpuarch": "amd64", "experiment": "", "fsmode": "directfs", "go": "go1.26.8",
		"network": "none", "numcores": "2", "overlay": "root:self", "platform": "systrap", "version": "VERSION_MISSING",
	}
}

// withDefaults returns the spec with every field set that a state file or a socket needs, but for
// StartTime, which must not change from one writing to the next.
func (spec Spec) withDefaults(root string) Spec {
	spec.Root.ID = spec.ID
	setDefault(&spec.MetricServer, DefaultMetricServer)
	setDefault(&spec.ControlSocket, filepath.Join(root, "runsc-"+spec.ID+".sock"))
	switch {
	case spec.PID == 0:
		spec.PID = os.Getpid()
	case spec.PID < 0:
		spec.PID = 0
	}
	if spec.Metadata == nil {
		spec.Metadata = DefaultMetadata()
	}
	return spec
}

// withDefaults returns the container with every field set that its state file needs. The spec has its
// defaults already.
func (c Container) withDefaults(spec *Spec) Container {
	setDefault(&c.Status, "running")
	setDefault(&c.Bundle, "/var/bundles/"+c.ID)
	setDefault(&c.OCIVersion, "1.0.0")
	setDefault(&c.GoferPID, spec.PID)
	if c.CreatedAt.IsZero() {
		c.CreatedAt = spec.StartTime.Add(4 * time.Millisecond)
	}
	if c.Args == nil {
		c.Args = []string{"sleep", "3600"}
	}
	if c.Capabilities == nil {
		c.Capabilities = DefaultCapabilities()
	}
	c.Annotations = c.annotations(spec)
	return c
}

// annotations returns those of the container, and those that a CRI gives the containers of a pod.
func (c Container) annotations(spec *Spec) map[string]string {
	all := map[string]string{}
	if spec.Pod != "" || spec.Namespace != "" || len(spec.More) > 0 {
		kind := "container"
		if c.ID == spec.ID {
			kind = "sandbox"
		}
		all["io.kubernetes.cri.container-type"] = kind
		all["io.kubernetes.cri.sandbox-id"] = spec.ID
	}
	if spec.Pod != "" {
		all["io.kubernetes.cri.sandbox-name"] = spec.Pod
	}
	if spec.Namespace != "" {
		all["io.kubernetes.cri.sandbox-namespace"] = spec.Namespace
	}
	for k, v := range c.Annotations {
		all[k] = v
	}
	return all
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
