package simulate

import (
	"maps"
	"os"
	"path/filepath"
	"time"
)

// A Spec describes a sandbox. Only ID is required: by default, the sandbox is running in this
// process, with the default capabilities of `runsc spec`, the real registration and the values of
// an idle shell. The sandbox owns the maps, slices and pointers in it once it is started.
type Spec struct {
	ID   string
	Root Container   // the root container, whose ID is the sandbox's
	More []Container // the other containers of the pod

	Pod, Namespace string // also set as annotations of the containers, as a CRI does

	// MetricServer is the value of --metric-server; DefaultMetricServer if empty.
	MetricServer string
	// Uninstrumented makes a sandbox without --metric-server: no address and no registration.
	Uninstrumented bool

	Now       func() time.Time // the clock of replies; nil: the machine's
	StartTime time.Time        // now, if zero

	PID int // of the sandbox process: this process if 0, none (0 in the file) if negative
	// OwnProcess gives the sandbox its own process in place of PID: a waiting child process, which
	// Stop kills and Exit ends.
	OwnProcess bool
	// Cgroups are the paths of new cgroups for the process of OwnProcess: one of version 2, or one
	// per hierarchy of version 1. They must not exist, and are removed with the process.
	Cgroups []string
	// OwnNetwork gives the process of OwnProcess a network namespace of its own, without
	// interfaces but lo.
	OwnNetwork bool

	Restored, Checkpointed      bool
	CPUTimeSaved, WallTimeSaved time.Duration // in the state file
	// SavedAtRestore is the reply to containerManager.GetSavings.
	SavedAtRestore Savings

	Metadata map[string]string // DefaultMetadata() if nil

	// Registration is the sandbox's registration; RealRegistration() if nil.
	Registration *Registration
	// Order is the seed for shuffling the registration's metrics; 0 keeps their order.
	Order uint64

	// ControlSocket is the path of the control socket; <root>/runsc-<ID>.sock if empty.
	ControlSocket string
	// NoSocket makes a sandbox with state files only: nothing listens.
	NoSocket bool
	// Frozen stops the sandbox as SIGSTOP does, until Sandbox.Thaw: connections wait in the backlog of 16, and
	// further ones get EAGAIN, or wait.
	Frozen bool

	// EditState, if set, may change the bytes of a container's state file.
	EditState func(containerID string, state []byte) []byte

	Points      []Point // initial values; if nil, Idle() with the real registration, else none
	Growth      int64   // added to every counter at every Export
	ShuffleKeys bool    // shuffle the fields of JSON objects in replies

	// Behavior replies on the control socket; Honest if nil.
	Behavior Behavior

	// FinalLog is the path of the final metrics log, which is made empty at the start, in an
	// existing directory. The sandbox writes its values to it when it ends. Empty: no log.
	FinalLog string
	// EditFinalLog, if set, may change what the sandbox writes. Nothing is like SIGKILL.
	EditFinalLog func(log []byte) []byte
}

// A Container describes one container of a sandbox.
type Container struct {
	ID        string    // set it in Spec.More only; the root container has the sandbox's ID
	Status    string    // "running", if empty
	CreatedAt time.Time // 4 ms after the sandbox's StartTime, if zero; its offset from UTC is kept
	GoferPID  int       // the sandbox's PID, if 0

	Bundle       string        // /var/bundles/<ID>, if empty
	Args         []string      // sleep 3600, if nil
	UID          int           // of its first process
	Capabilities *Capabilities // defaultCapabilities(), if nil
	OCIVersion   string        // 1.0.0, if empty
	Annotations  map[string]string
}

// Capabilities are the five capability sets of a container, with names such as CAP_KILL.
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

// DefaultMetricServer is the default of Spec.MetricServer.
const DefaultMetricServer = "/run/runsc-metrics.sock"

// defaultCapabilities returns the capabilities of `runsc spec`: three, in four of the five sets.
func defaultCapabilities() *Capabilities {
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

// withDefaults returns the spec with defaults for all fields except StartTime, which must not
// change when the state file is written again.
func (spec Spec) withDefaults(root string) Spec {
	spec.Root.ID = spec.ID
	setDefault(&spec.MetricServer, DefaultMetricServer)
	if spec.Uninstrumented {
		spec.MetricServer = ""
	}
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

// withDefaults returns the container with defaults for all fields. The spec must have its defaults
// already.
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
		c.Capabilities = defaultCapabilities()
	}
	c.Annotations = c.annotations(spec)
	return c
}

// annotations returns the annotations of the container, and those that a CRI sets on containers of
// a pod.
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
	maps.Copy(all, c.Annotations)
	return all
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
