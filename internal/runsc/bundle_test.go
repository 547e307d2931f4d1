package runsc

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestBundle(t *testing.T) {
	c := Container{ID: "sb-1", Args: []string{"workload", "idle"}, UID: 7, Annotations: map[string]string{"a": "b\n"},
		CPULimit: 1.5, MemoryLimit: 5, Network: "/proc/1/ns/net", Cgroup: true, MetricServer: "a", Flags: []string{"--debug"}}
	bundle, err := c.writeBundle(t.TempDir(), "/rootfs")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	const caps = `["CAP_AUDIT_WRITE","CAP_KILL","CAP_NET_BIND_SERVICE"]`
	want := `{"annotations":{"a":"b\n"},"hostname":"sandmeter","linux":{"namespaces":[{"path":"/proc/1/ns/net","type":"network"}],` +
		`"resources":{"cpu":{"period":100000,"quota":150000},"memory":{"limit":5}}},"ociVersion":"1.0.0",` +
		`"process":{"args":["/sandlab","workload","idle"],"capabilities":{"bounding":` + caps + `,"effective":` + caps + `,"inheritable":` + caps +
		`,"permitted":` + caps + `},"cwd":"/","env":["PATH=/"],"user":{"gid":7,"uid":7}},"root":{"path":"/rootfs","readonly":true}}`
	if string(got) != want {
		t.Errorf("config.json is\n%s\nwant\n%s", got, want)
	}
	wantFlags := []string{"--metric-server=a", "--ignore-cgroups=false", "--network=sandbox", "--debug"}
	if flags := c.flags(); !slices.Equal(flags, wantFlags) {
		t.Errorf("flags = %q, want %q", flags, wantFlags)
	}
	plain := Container{Capabilities: []string{}, OCIVersion: "1.2.1"}.spec("/rootfs")
	if plain["linux"] != nil || plain["mounts"] != nil || plain["ociVersion"] != "1.2.1" || strings.Contains(fmt.Sprint(plain), "CAP_") {
		t.Errorf("spec = %v", plain)
	}
}

func TestBundleRefusesIDs(t *testing.T) {
	for _, id := range []string{"", ".", "..", "a/b", "../a", "a b", "a\n", "*"} {
		if _, err := (Container{ID: id}).writeBundle(t.TempDir(), "/rootfs"); err == nil {
			t.Errorf("ID %q: no error", id)
		}
	}
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
