package simulate

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// These types define the format of a state file, with fields in the order of runsc.

type containerState struct {
	ID              string          `json:"id"`
	Spec            ociSpec         `json:"spec"`
	BundleDir       string          `json:"bundleDir"`
	CreatedAt       time.Time       `json:"createdAt"`
	Owner           string          `json:"owner"`
	ConsoleSocket   string          `json:"consoleSocket"`
	Status          string          `json:"status"`
	GoferPID        int             `json:"goferPid"`
	Sandbox         sandboxState    `json:"sandbox"`
	CompatCgroup    json.RawMessage `json:"compatCgroup"`
	Saver           saver           `json:"saver"`
	GoferMountConfs json.RawMessage `json:"goferMountConfs"`
}

type ociSpec struct {
	OCIVersion  string            `json:"ociVersion"`
	Process     process           `json:"process"`
	Root        json.RawMessage   `json:"root"`
	Hostname    string            `json:"hostname"`
	Mounts      []mount           `json:"mounts"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Linux       linux             `json:"linux"`
}

type process struct {
	User         user            `json:"user"`
	Args         []string        `json:"args"`
	Env          []string        `json:"env"`
	Cwd          string          `json:"cwd"`
	Capabilities *Capabilities   `json:"capabilities"`
	Rlimits      json.RawMessage `json:"rlimits"`
}

type user struct {
	UID int `json:"uid"`
	GID int `json:"gid"`
}

type mount struct {
	Destination string   `json:"destination"`
	Type        string   `json:"type"`
	Source      string   `json:"source"`
	Options     []string `json:"options,omitempty"`
}

type linux struct {
	UIDMappings json.RawMessage `json:"uidMappings"`
	GIDMappings json.RawMessage `json:"gidMappings"`
	CgroupsPath string          `json:"cgroupsPath"`
	Namespaces  json.RawMessage `json:"namespaces"`
}

type sandboxState struct {
	ID                  string            `json:"id"`
	PodName             string            `json:"podName"`
	Namespace           string            `json:"namespace"`
	PID                 int               `json:"pid"`
	UID                 int               `json:"uid"`
	GID                 int               `json:"gid"`
	Cgroup              json.RawMessage   `json:"cgroup"`
	OriginalOOMScoreAdj int               `json:"originalOomScoreAdj"`
	RegisteredMetrics   json.RawMessage   `json:"registeredMetrics"`
	MetricMetadata      map[string]string `json:"metricMetadata"`
	MetricServerAddress string            `json:"metricServerAddress"`
	ControlSocketPath   string            `json:"controlSocketPath"`
	MountHints          json.RawMessage   `json:"mountHints"`
	StartTime           time.Time         `json:"startTime"`
	Checkpointed        bool              `json:"checkpointed"`
	Restored            bool              `json:"restored"`
	CPUTimeSaved        time.Duration     `json:"cpuTimeSaved"`
	WallTimeSaved       time.Duration     `json:"wallTimeSaved"`
}

type saver struct {
	RootDir string  `json:"rootDir"`
	ID      saverID `json:"id"`
}

type saverID struct {
	SandboxID   string `json:"sandboxId"`
	ContainerID string `json:"containerId"`
}

// Parts of a state file that are the same in all of them.
var (
	noCgroup   = json.RawMessage(`{"cgroupunknown":null}`)
	idMapping  = json.RawMessage(`[{"containerID":0,"hostID":0,"size":4294967295}]`)
	namespaces = json.RawMessage(`[{"type":"pid"},{"type":"network"},{"type":"ipc"},{"type":"uts"},{"type":"mount"},{"type":"user"}]`)
	rlimits    = json.RawMessage(`[{"type":"RLIMIT_NOFILE","hard":1024,"soft":1024}]`)
	rootFS     = json.RawMessage(`{"path":"/run/runscfs","readonly":true}`)
	mountHints = json.RawMessage(`{"mounts":{}}`)
	goferMount = json.RawMessage(`[{"lower":1,"upper":0}]`)
	processEnv = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"}
)

// encodeState returns the state file of one container. Spec and container have their defaults.
func encodeState(root string, spec *Spec, c Container, registration []byte) ([]byte, error) {
	state, err := json.Marshal(containerState{
		ID:              c.ID,
		Spec:            encodeSpec(c),
		BundleDir:       c.Bundle,
		CreatedAt:       c.CreatedAt,
		Status:          c.Status,
		GoferPID:        c.GoferPID,
		Sandbox:         encodeSandbox(spec),
		CompatCgroup:    noCgroup,
		Saver:           saver{root, saverID{spec.ID, c.ID}},
		GoferMountConfs: goferMount,
	})
	if err != nil {
		return nil, err
	}
	// The registration is most of the file. Inserted as bytes, it is not encoded again for every
	// sandbox.
	const none = `"registeredMetrics":null`
	before, after, _ := bytes.Cut(state, []byte(none))
	state = bytes.Join([][]byte{before, []byte(`"registeredMetrics":`), registration, after}, nil)
	if spec.EditState != nil {
		state = spec.EditState(c.ID, state)
	}
	return state, nil
}

func encodeSpec(c Container) ociSpec {
	return ociSpec{
		OCIVersion: c.OCIVersion,
		Process: process{
			User: user{UID: c.UID}, Args: c.Args, Env: processEnv, Cwd: "/",
			Capabilities: c.Capabilities, Rlimits: rlimits,
		},
		Root:     rootFS,
		Hostname: "runsc",
		Mounts: []mount{
			{"/proc", "proc", c.Bundle + "/proc", nil},
			{"/dev", "tmpfs", c.Bundle + "/tmpfs", nil},
			{"/sys", "sysfs", c.Bundle + "/sysfs", []string{"nosuid", "noexec", "nodev", "ro"}},
		},
		Annotations: c.Annotations,
		Linux:       linux{UIDMappings: idMapping, GIDMappings: idMapping, CgroupsPath: "/" + c.ID, Namespaces: namespaces},
	}
}

func encodeSandbox(spec *Spec) sandboxState {
	s := sandboxState{
		ID: spec.ID, PodName: spec.Pod, Namespace: spec.Namespace, PID: spec.PID,
		Cgroup:              noCgroup,
		MetricMetadata:      spec.Metadata,
		MetricServerAddress: spec.MetricServer,
		ControlSocketPath:   spec.ControlSocket,
		MountHints:          mountHints,
		StartTime:           spec.StartTime,
		Checkpointed:        spec.Checkpointed, Restored: spec.Restored,
		CPUTimeSaved: spec.CPUTimeSaved, WallTimeSaved: spec.WallTimeSaved,
	}
	if spec.Uninstrumented {
		s.MetricServerAddress = ""
	}
	return s
}

// StatePath returns the path of the state file of a container of the sandbox; "" is the root
// container.
func (s *Sandbox) StatePath(containerID string) string {
	setDefault(&containerID, s.id)
	return filepath.Join(s.root, containerID+"_sandbox:"+s.id+".state")
}

// LockPath returns the path of the lock file beside it.
func (s *Sandbox) LockPath(containerID string) string {
	path := s.StatePath(containerID)
	return path[:len(path)-len("state")] + "lock"
}

// WriteState writes any bytes to the state file of a container, in place as runsc does: the file is
// truncated, then written. The next Update overwrites it.
func (s *Sandbox) WriteState(containerID string, state []byte) error {
	return os.WriteFile(s.StatePath(containerID), state, 0o640)
}

// Lock takes the exclusive lock of a container's state file, and waits for it. runsc holds it
// during create, start and restore. Update does not wait for it.
func (s *Sandbox) Lock(containerID string) (unlock func(), err error) {
	f, err := os.OpenFile(s.LockPath(containerID), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// Update changes the spec, rewrites the state files, and removes those of containers that are gone.
// Only files change: the socket and the replies stay the same.
func (s *Sandbox) Update(change func(*Spec)) error {
	s.files.Lock()
	defer s.files.Unlock()
	before := s.spec.containerIDs()
	change(&s.spec)
	s.spec.ID = s.id
	if err := s.writeStates(); err != nil {
		return err
	}
	after := s.spec.containerIDs()
	for id := range before {
		if !after[id] {
			if err := s.removeState(id); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeStates writes the state and lock files of all containers. The caller holds s.files, unless
// the sandbox is still being started.
func (s *Sandbox) writeStates() error {
	spec := s.spec.withDefaults(s.root)
	registration := []byte("null")
	if !spec.Uninstrumented {
		registration = s.schema.registration(spec.Order)
	}
	for _, c := range append([]Container{spec.Root}, spec.More...) {
		c = c.withDefaults(&spec)
		state, err := encodeState(s.root, &spec, c, registration)
		if err != nil {
			return err
		}
		if err := os.WriteFile(s.LockPath(c.ID), nil, 0o640); err != nil {
			return err
		}
		if err := s.WriteState(c.ID, state); err != nil {
			return err
		}
	}
	return nil
}

// RemoveState removes the state and lock files of a container; "" is the root container. The next
// Update writes them again.
func (s *Sandbox) RemoveState(containerID string) error {
	s.files.Lock()
	defer s.files.Unlock()
	return s.removeState(containerID)
}

func (s *Sandbox) removeState(containerID string) error {
	for _, path := range []string{s.StatePath(containerID), s.LockPath(containerID)} {
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

func (spec *Spec) containerIDs() map[string]bool {
	ids := map[string]bool{spec.ID: true}
	for _, c := range spec.More {
		ids[c.ID] = true
	}
	return ids
}
