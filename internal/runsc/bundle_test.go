package runsc

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestBundle(t *testing.T) {
	c := Container{ID: "sb-1", Args: []string{"workload", "idle"}, UID: 7, Annotations: map[string]string{"a": "b\n"}}
	bundle, err := c.writeBundle(t.TempDir(), "/rootfs")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	const caps = `["CAP_AUDIT_WRITE","CAP_KILL","CAP_NET_BIND_SERVICE"]`
	want := `{"ociVersion":"1.0.0",` +
		`"process":{"terminal":false,"user":{"uid":7,"gid":7},"args":["/sandlab","workload","idle"],"env":["PATH=/"],"cwd":"/",` +
		`"capabilities":{"bounding":` + caps + `,"effective":` + caps + `,"inheritable":` + caps + `,"permitted":` + caps + `}},` +
		`"root":{"path":"/rootfs","readonly":true},"hostname":"sandmeter","annotations":{"a":"b\n"}}`
	if compact := compactJSON(t, got); compact != want {
		t.Errorf("config.json is\n%s\nwant\n%s", compact, want)
	}
}

func TestBundleWithoutCapabilities(t *testing.T) {
	s := Container{Capabilities: []string{}, OCIVersion: "1.2.1"}.spec("/rootfs")
	if len(s.Process.Capabilities.Bounding) != 0 || s.OCIVersion != "1.2.1" {
		t.Errorf("spec = %+v", s)
	}
}

func TestBundleWithResources(t *testing.T) {
	c := Container{CPULimit: 1.5, MemoryLimit: 5, Network: "/proc/1/ns/net", Cgroup: true, MetricServer: "a", Flags: []string{"--debug"}}
	doc, err := json.Marshal(c.spec("/rootfs").Linux)
	if want := `{"resources":{"cpu":{"quota":150000,"period":100000},"memory":{"limit":5}},"namespaces":[{"type":"network","path":"/proc/1/ns/net"}]}`; err != nil || string(doc) != want {
		t.Errorf("linux = %s, %v, want %s", doc, err, want)
	}
	want := []string{"--metric-server=a", "--ignore-cgroups=false", "--network=sandbox", "--debug"}
	if flags := c.flags(); !slices.Equal(flags, want) {
		t.Errorf("flags = %q, want %q", flags, want)
	}
}

func TestBundleRefusesIDs(t *testing.T) {
	for _, id := range []string{"", ".", "..", "a/b", "../a", "a b", "a\n", "*"} {
		if _, err := (Container{ID: id}).writeBundle(t.TempDir(), "/rootfs"); err == nil {
			t.Errorf("ID %q: no error", id)
		}
	}
}

func TestPodAnnotations(t *testing.T) {
	pod := Pod{Sandbox: "sb", Name: "nginx", Namespace: "prod"}
	f := func(container, wantType string) {
		t.Helper()
		want := map[string]string{
			"io.kubernetes.cri.container-type":    wantType,
			"io.kubernetes.cri.sandbox-id":        "sb",
			"io.kubernetes.cri.sandbox-name":      "nginx",
			"io.kubernetes.cri.sandbox-namespace": "prod",
		}
		if got := pod.Annotations(container); !maps.Equal(got, want) {
			t.Errorf("Annotations(%q) = %v, want %v", container, got, want)
		}
	}
	f("sb", "sandbox")
	f("app", "container")
}

func TestMountsBelow(t *testing.T) {
	const mountinfo = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:4 net:[4026532299] /tmp/sandmeter-1/r/null-netns rw shared:7 - nsfs nsfs rw
31 22 0:4 net:[4026532300] /tmp/sandmeter-10/r/null-netns rw shared:8 - nsfs nsfs rw
32 22 0:31 / /tmp/sandmeter-1/a\040b\134c rw - tmpfs none rw
33 22 0:31 / /tmp/sandmeter-1 rw - tmpfs none rw
short
`
	got := mountsBelow(mountinfo, "/tmp/sandmeter-1")
	want := []string{`/tmp/sandmeter-1/a b\c`, "/tmp/sandmeter-1/r/null-netns"}
	if !slices.Equal(got, want) {
		t.Errorf("mountsBelow = %q, want %q", got, want)
	}
}

func TestTail(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const before = "of an earlier command\n"
	if _, err := file.WriteString(before + "failed:\n\x1b[31m no\tmemory\r\n"); err != nil {
		t.Fatal(err)
	}
	if got, want := tail(file, int64(len(before))), ": failed: [31m no memory"; got != want {
		t.Errorf("tail = %q, want %q", got, want)
	}
	end, err := file.Seek(0, 2)
	if err != nil {
		t.Fatal(err)
	}
	if got := tail(file, end); got != "" {
		t.Errorf("tail of nothing = %q", got)
	}
}

func compactJSON(t *testing.T, doc []byte) string {
	t.Helper()
	var s spec
	if err := json.Unmarshal(doc, &s); err != nil {
		t.Fatal(err)
	}
	compact, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(compact)
}
