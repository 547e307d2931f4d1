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
	// OCIVersion of the spec; empty means 1.0.0.
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

// object is a JSON object.
type object = map[string]any

// cpuPeriod is the period of CPU limits in microseconds, the default of the kernel.
const cpuPeriod = 100_000

// spec returns the container's OCI runtime spec with the root filesystem at root.
func (c Container) spec(root string) object {
	caps := c.Capabilities
	if caps == nil {
		caps = []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
	}
	spec := object{
		"ociVersion": cmp.Or(c.OCIVersion, "1.0.0"),
		"process": object{
			"user":         object{"uid": c.UID, "gid": c.UID},
			"args":         append([]string{ProgramPath}, c.Args...),
			"env":          []string{"PATH=/"},
			"cwd":          "/",
			"capabilities": object{"bounding": caps, "effective": caps, "inheritable": caps, "permitted": caps},
		},
		// Read-only, so that runsc creates no overlay file in it and all containers of a node can
		// share it.
		"root":        object{"path": root, "readonly": true},
		"hostname":    "sandmeter",
		"annotations": c.Annotations,
	}
	if c.CgroupMount { // besides the mounts that runsc adds itself
		spec["mounts"] = []object{{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
			"options": []string{"nosuid", "noexec", "nodev", "relatime", "ro"}}}
	}
	resources := object{}
	if c.CPULimit != 0 {
		resources["cpu"] = object{"quota": int64(c.CPULimit * cpuPeriod), "period": cpuPeriod}
	}
	if c.MemoryLimit != 0 {
		resources["memory"] = object{"limit": c.MemoryLimit}
	}
	linux := object{"resources": resources}
	if c.Network != "" {
		linux["namespaces"] = []object{{"type": "network", "path": c.Network}}
	}
	if len(resources) > 0 || len(linux) > 1 { // else runsc has defaults
		spec["linux"] = linux
	}
	return spec
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
	doc, err := json.Marshal(c.spec(root))
	if err != nil {
		return "", err
	}
	bundle := filepath.Join(bundles, c.ID)
	if err := os.MkdirAll(bundle, 0o700); err != nil {
		return "", err
	}
	return bundle, os.WriteFile(filepath.Join(bundle, "config.json"), doc, 0o600)
}
