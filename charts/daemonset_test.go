package charts

import (
	"maps"
	"os/exec"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

// TestPrivileges checks, for all values files, that the pod has the privileges that README.md
// explains, and no others.
func TestPrivileges(t *testing.T) {
	root := int64(0)
	want := core.SecurityContext{
		RunAsUser: &root, RunAsGroup: &root, RunAsNonRoot: new(bool), Privileged: new(bool), AllowPrivilegeEscalation: new(bool),
		ReadOnlyRootFilesystem: ptr(true),
		Capabilities:           &core.Capabilities{Drop: []core.Capability{"ALL"}},
		SeccompProfile:         &core.SeccompProfile{Type: core.SeccompProfileTypeRuntimeDefault},
		AppArmorProfile:        &core.AppArmorProfile{Type: core.AppArmorProfileTypeUnconfined},
	}
	for name, v := range valueFiles(t) {
		set := daemonSet(t, v)
		pod, c := set.Spec.Template.Spec, container(t, set)
		have := *c.SecurityContext
		have.SELinuxOptions = nil // only where a values file sets it
		want.Capabilities.Add = nil
		if pod.HostNetwork {
			want.Capabilities.Add = []core.Capability{"NET_ADMIN"}
		}
		if !reflect.DeepEqual(have, want) {
			t.Errorf("%s: security context %+v, want %+v", name, have, want)
		}
		if pod.SecurityContext != nil || c.Lifecycle != nil {
			t.Errorf("%s: security context %v, lifecycle %v, want neither", name, pod.SecurityContext, c.Lifecycle)
		}
		if !pod.HostPID || pod.HostIPC || pod.HostNetwork != (v["hostNetwork"] == true) || pod.ShareProcessNamespace != nil {
			t.Errorf("%s: the pod has other namespaces of the host than the PID namespace", name)
		}
		if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
			t.Errorf("%s: the pod gets a token", name)
		}
		if pod.EnableServiceLinks == nil || *pod.EnableServiceLinks {
			t.Errorf("%s: services set environment variables, which may count as flags", name)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// TestHostPaths checks which directories of the node the container gets. All are read-only, with
// all mounts below them, except that of final records.
func TestHostPaths(t *testing.T) {
	const system = "Directory /sys/fs/cgroup"
	f := func(v values, want ...string) {
		t.Helper()
		if v["runsc"] == nil {
			v["runsc"] = values{"paths": []any{}}
		}
		want = append(want, system)
		slices.Sort(want)
		if have := hostPaths(t, v); !slices.Equal(have, want) {
			t.Errorf("%v: host paths %q, want %q", v, have, want)
		}
	}
	roots := func(roots ...any) values { return values{"roots": roots} }
	const usual = "DirectoryOrCreate /run/containerd/runsc"

	f(values{}, usual)
	f(values{"runsc": values{"paths": []any{"/usr/local/bin/runsc", "/usr/bin/runsc"}}}, usual, "Directory /usr/bin", "Directory /usr/local/bin")
	f(values{"runsc": values{"paths": []any{"/opt/gvisor/runsc", "/opt/gvisor/runsc-old"}}}, usual, "Directory /opt/gvisor")
	f(values{"finalMetricsLog": "/var/log/runsc/%ID%/metrics"}, usual, "DirectoryOrCreate /var/log/runsc")
	f(values{"finalMetricsLog": "/var/log/runsc/%ID%.metrics"}, usual, "DirectoryOrCreate /var/log/runsc")
	f(values{"finalRecords": "/var/log/sandmeter/records"}, usual, "DirectoryOrCreate /var/log/sandmeter read-write")
	f(values{"finalRecords": "-"}, usual)

	// The directory above a root is mounted, since the root may not exist yet.
	f(roots("/run/containerd/runsc/k8s.io", "/run/containerd/runsc/default"), usual)
	f(roots("/run/containerd/runsc/k8s.io", "/run/containerd/runsc/*"), usual)
	f(roots("/run/gvisor/a", "/run/gvisor/[b-d]*/x"), "DirectoryOrCreate /run/gvisor")
	f(roots("/var/run/docker/runtime-runc/moby"), "DirectoryOrCreate /var/run/docker/runtime-runc")
	// Not the one that has sockets of daemons.
	f(roots("/run/runsc"), "DirectoryOrCreate /run/runsc")
	f(roots("/var/run/runsc"), "DirectoryOrCreate /var/run/runsc")
	f(roots("/root/runsc"), "DirectoryOrCreate /root/runsc")
	// A name that begins like that of such a directory is another one.
	f(roots("/var/lib/kubelet-runsc/k8s.io"), "DirectoryOrCreate /var/lib/kubelet-runsc")
	f(values{"finalRecords": "/var/log/pods-of-runsc/records"}, usual, "DirectoryOrCreate /var/log/pods-of-runsc read-write")
	f(values{"finalRecords": "/var/lib/sandmeter/records"}, usual, "DirectoryOrCreate /var/lib/sandmeter read-write")
}

// hostPaths returns the paths of the node that the container gets at the same paths, in order.
func hostPaths(t *testing.T, v values) (paths []string) {
	t.Helper()
	set := daemonSet(t, v)
	volumes := map[string]*core.HostPathVolumeSource{}
	for _, volume := range set.Spec.Template.Spec.Volumes {
		volumes[volume.Name] = volume.HostPath
	}
	for _, mount := range container(t, set).VolumeMounts {
		source := volumes[mount.Name]
		if source == nil {
			continue
		}
		text := string(*source.Type) + " " + source.Path
		if mount.MountPath != source.Path {
			text += " at " + mount.MountPath
		}
		recursive := mount.RecursiveReadOnly != nil && *mount.RecursiveReadOnly == core.RecursiveReadOnlyIfPossible
		if !mount.ReadOnly || !recursive {
			text += " read-write"
		}
		paths = append(paths, text)
	}
	slices.Sort(paths)
	return paths
}

// TestVolumes checks, for all values files and for paths that are much alike, that each volume has a
// name that Kubernetes accepts and is mounted once, and each mount has a volume.
func TestVolumes(t *testing.T) {
	long := "/run/" + strings.Repeat("directory/", 10)
	all := valueFiles(t)
	all["paths that differ in a separator"] = values{"roots": []any{"/run/x/a-b/k8s", "/run/x/a/b/k8s", "/run/x/A_B/k8s"}}
	all["paths that differ at their ends"] = values{"roots": []any{long + "a/k8s", long + "b/k8s"}}
	for name, v := range all {
		set := daemonSet(t, v)
		volumes, mounts, places := map[string]int{}, map[string]int{}, map[string]int{}
		for _, volume := range set.Spec.Template.Spec.Volumes {
			volumes[volume.Name]++
			if faults := validation.IsDNS1123Label(volume.Name); len(faults) > 0 {
				t.Errorf("%s: volume %q: %q", name, volume.Name, faults)
			}
		}
		for _, mount := range container(t, set).VolumeMounts {
			mounts[mount.Name]++
			places[mount.MountPath]++
		}
		if !maps.Equal(volumes, mounts) {
			t.Errorf("%s: volumes %v, mounts %v", name, volumes, mounts)
		}
		for _, counts := range []map[string]int{volumes, places} {
			for what, n := range counts {
				if n != 1 {
					t.Errorf("%s: %s is there %d times", name, what, n)
				}
			}
		}
	}
}

// TestFlags checks, for all values files, that the program accepts the arguments of the server and
// of the probes. It reads all flags and their values before it shows help.
func TestFlags(t *testing.T) {
	accepts := func(args ...string) error {
		return exec.Command(sandmeter, append(args, "--help")...).Run()
	}
	if accepts("serve", "--no-such-flag") == nil || accepts("serve", "--usage=none") == nil {
		t.Fatal("the program accepts wrong flags before --help")
	}
	for name, v := range valueFiles(t) {
		c := container(t, daemonSet(t, v))
		for _, command := range append(probes(c), append(slices.Clone(c.Command), c.Args...)) {
			command = expanded(command)
			if path.Base(command[0]) != "sandmeter" {
				t.Errorf("%s: the program is %s", name, command[0])
			}
			if err := accepts(command[1:]...); err != nil {
				t.Errorf("%s: %s: %v", name, strings.Join(command, " "), err)
			}
		}
	}
}

// TestOff checks that off needs no quotes in a values file, where YAML takes it for false.
func TestOff(t *testing.T) {
	var v values
	if err := yaml.Unmarshal([]byte("{usage: off, totals: {by: off}}"), &v); err != nil {
		t.Fatal(err)
	}
	args := container(t, daemonSet(t, v)).Args
	if !slices.Contains(args, "--usage=off") || !slices.Contains(args, "--totals-by=off") {
		t.Errorf("arguments %q", args)
	}
}

// probes returns the commands of the probes of a container.
func probes(c core.Container) [][]string {
	return [][]string{c.StartupProbe.Exec.Command, c.ReadinessProbe.Exec.Command, c.LivenessProbe.Exec.Command}
}

// expanded returns arguments with the variables that the kubelet expands.
func expanded(args []string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		args[i] = strings.ReplaceAll(arg, "$(HOST_IP)", "127.0.0.2")
	}
	return args
}

// TestUpgrade checks that values that an upgrade may change leave the selector as it is, because
// Kubernetes refuses another one.
func TestUpgrade(t *testing.T) {
	before := daemonSet(t, values{})
	for _, v := range valueFiles(t) {
		if after := daemonSet(t, v); !reflect.DeepEqual(before.Spec.Selector, after.Spec.Selector) {
			t.Errorf("selector %v, and %v before", after.Spec.Selector, before.Spec.Selector)
		}
	}
	if labels := before.Spec.Template.Labels; !maps.Equal(labels, before.Spec.Selector.MatchLabels) {
		t.Errorf("pods have the labels %v: those of the chart would restart all of them", labels)
	}
}
