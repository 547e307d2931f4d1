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

// TestVolumes checks that paths that are much alike have volumes with different names, which Kubernetes
// accepts, and that each is mounted once.
func TestVolumes(t *testing.T) {
	long := "/run/" + strings.Repeat("directory/", 10)
	for _, roots := range [][]any{
		{"/run/x/a-b/k8s", "/run/x/a/b/k8s", "/run/x/A_B/k8s"}, // they differ in a separator
		{long + "a/k8s", long + "b/k8s"},                       // at their ends
	} {
		set := daemonSet(t, values{"roots": roots})
		volumes, mounts := map[string]int{}, map[string]int{}
		for _, volume := range set.Spec.Template.Spec.Volumes {
			if faults := validation.IsDNS1123Label(volume.Name); len(faults) > 0 || volumes[volume.Name] > 0 {
				t.Errorf("volume %q is there twice, or has a bad name: %q", volume.Name, faults)
			}
			volumes[volume.Name]++
		}
		for _, mount := range container(t, set).VolumeMounts {
			mounts[mount.Name]++
		}
		if !maps.Equal(volumes, mounts) {
			t.Errorf("volumes %v, mounts %v", volumes, mounts)
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
