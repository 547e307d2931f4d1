package runsc

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// ProgramPath is the path of Config.Program in a container, and the first word of the container's
// command line.
const ProgramPath = "/sandlab"

// DefaultOCIVersion is the default of Container.OCIVersion.
const DefaultOCIVersion = "1.0.0"

// A Container describes a container to create. Only ID is required.
type Container struct {
	// ID of the container, and of its sandbox unless the annotations place it in a pod (see Pod).
	// It matches ^[\w+.-]+$.
	ID string
	// Args of the program, without the program itself.
	Args []string
	// Annotations of the OCI spec.
	Annotations map[string]string
	// UID is the user that the program runs as.
	UID uint32
	// Capabilities of the program, such as "CAP_KILL". Nil means those of `runsc spec`:
	// CAP_AUDIT_WRITE, CAP_KILL and CAP_NET_BIND_SERVICE.
	Capabilities []string
	// OCIVersion of the spec; empty means DefaultOCIVersion.
	OCIVersion string
	// Cgroup gives the sandbox a cgroup of its own, with the path /ID. Other sandboxes are in that
	// of the test.
	Cgroup bool
	// MemoryLimit is in bytes; 0 means none.
	MemoryLimit int64
	// CPULimit is in cores; 0 means none.
	CPULimit float64
	// Network is the path of a network namespace, whose interfaces the sandbox takes over. Empty
	// means a sandbox without network.
	Network string
	// CgroupMount mounts cgroups in the container, as containerd does in all containers of a pod but
	// the first.
	CgroupMount bool
	// MetricServer is the value of --metric-server; empty means a sandbox without metrics.
	MetricServer string
	// Flags are additional flags of runsc (before its command) to create this container; the last
	// of two equal flags wins.
	Flags []string
}

// A Pod identifies a Kubernetes pod. Its containers share the sandbox of its first container, whose
// ID is the sandbox's.
type Pod struct {
	Sandbox   string // ID of the sandbox
	Name      string
	Namespace string
}

// Annotations returns the annotations that the Kubernetes container runtime interface (CRI) sets on
// a container of the pod.
func (p Pod) Annotations(container string) map[string]string {
	kind := "container"
	if container == p.Sandbox {
		kind = "sandbox"
	}
	return map[string]string{
		"io.kubernetes.cri.container-type":    kind,
		"io.kubernetes.cri.sandbox-id":        p.Sandbox,
		"io.kubernetes.cri.sandbox-name":      p.Name,
		"io.kubernetes.cri.sandbox-namespace": p.Namespace,
	}
}

// spec is the part of an OCI runtime spec that this package writes.
type spec struct {
	OCIVersion  string            `json:"ociVersion"`
	Process     process           `json:"process"`
	Root        rootfs            `json:"root"`
	Hostname    string            `json:"hostname"`
	Mounts      []specMount       `json:"mounts,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Linux       *linux            `json:"linux,omitempty"`
}

type specMount struct {
	Destination string   `json:"destination"`
	Type        string   `json:"type"`
	Source      string   `json:"source"`
	Options     []string `json:"options"`
}

type linux struct {
	Resources  resources   `json:"resources"`
	Namespaces []namespace `json:"namespaces,omitempty"`
}

type resources struct {
	CPU    *cpu    `json:"cpu,omitempty"`
	Memory *memory `json:"memory,omitempty"`
}

// cpu is a limit of CPU time per period, in microseconds.
type cpu struct {
	Quota  int64 `json:"quota"`
	Period int64 `json:"period"`
}

type memory struct {
	Limit int64 `json:"limit"`
}

type namespace struct {
	Type string `json:"type"`
	Path string `json:"path"`
}

type process struct {
	Terminal     bool         `json:"terminal"`
	User         user         `json:"user"`
	Args         []string     `json:"args"`
	Env          []string     `json:"env"`
	Cwd          string       `json:"cwd"`
	Capabilities capabilities `json:"capabilities"`
}

type user struct {
	UID uint32 `json:"uid"`
	GID uint32 `json:"gid"`
}

type capabilities struct {
	Bounding    []string `json:"bounding,omitempty"`
	Effective   []string `json:"effective,omitempty"`
	Inheritable []string `json:"inheritable,omitempty"`
	Permitted   []string `json:"permitted,omitempty"`
}

type rootfs struct {
	Path     string `json:"path"`
	Readonly bool   `json:"readonly"`
}

// spec returns the container's OCI spec with the root filesystem at root.
func (c Container) spec(root string) spec {
	caps := c.Capabilities
	if caps == nil {
		caps = []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
	}
	return spec{
		OCIVersion: cmp.Or(c.OCIVersion, DefaultOCIVersion),
		Process: process{
			User:         user{UID: c.UID, GID: c.UID},
			Args:         append([]string{ProgramPath}, c.Args...),
			Env:          []string{"PATH=/"},
			Cwd:          "/",
			Capabilities: capabilities{caps, caps, caps, caps},
		},
		// Read-only, so that runsc creates no overlay file in it and all containers of a node can
		// share it.
		Root:        rootfs{Path: root, Readonly: true},
		Hostname:    "sandmeter",
		Mounts:      c.mounts(),
		Annotations: c.Annotations,
		Linux:       c.linux(),
	}
}

// mounts returns the mounts besides those that runsc adds itself.
func (c Container) mounts() []specMount {
	if !c.CgroupMount {
		return nil
	}
	return []specMount{{"/sys/fs/cgroup", "cgroup", "cgroup", []string{"nosuid", "noexec", "nodev", "relatime", "ro"}}}
}

// cpuPeriod is the period of CPU limits in microseconds, the default of the kernel.
const cpuPeriod = 100_000

// linux returns the part of the spec that runsc has defaults for, or nil.
func (c Container) linux() *linux {
	var l linux
	if c.CPULimit != 0 {
		l.Resources.CPU = &cpu{Quota: int64(c.CPULimit * cpuPeriod), Period: cpuPeriod}
	}
	if c.MemoryLimit != 0 {
		l.Resources.Memory = &memory{c.MemoryLimit}
	}
	if c.Network != "" {
		l.Namespaces = []namespace{{"network", c.Network}}
	}
	if l.Resources == (resources{}) && l.Namespaces == nil {
		return nil
	}
	return &l
}

// flags returns the flags of runsc for the container. The last of two equal flags wins.
func (c Container) flags() []string {
	var flags []string
	if c.MetricServer != "" {
		flags = append(flags, "--metric-server="+c.MetricServer)
	}
	if c.Cgroup {
		flags = append(flags, "--ignore-cgroups=false")
	}
	if c.Network != "" {
		flags = append(flags, "--network=sandbox")
	}
	return append(flags, c.Flags...)
}

// idPattern is runsc's pattern of IDs. "." and ".." match it too, but cannot be names of
// directories.
var idPattern = regexp.MustCompile(`^[\w+.-]+$`)

// writeBundle writes the container's bundle below bundles and returns its directory.
func (c Container) writeBundle(bundles, root string) (string, error) {
	if !idPattern.MatchString(c.ID) || c.ID == "." || c.ID == ".." {
		return "", fmt.Errorf("container ID %q is not a name of letters, digits and _ + . -", c.ID)
	}
	doc, err := json.MarshalIndent(c.spec(root), "", "\t")
	if err != nil {
		return "", err
	}
	bundle := filepath.Join(bundles, c.ID)
	if err := os.MkdirAll(bundle, 0o700); err != nil {
		return "", err
	}
	return bundle, os.WriteFile(filepath.Join(bundle, "config.json"), doc, 0o600)
}
