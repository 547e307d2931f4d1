package registration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFind has hosts as trees of files: a line for each file, with its content. A program has none.
func TestFind(t *testing.T) {
	check := func(name string, tree map[string]string, want, wantErr string) {
		t.Helper()
		root := t.TempDir()
		for path, text := range tree {
			write(t, filepath.Join(root, path), text, 0o755)
		}
		programs, err := find(root, "/usr/local/bin:relative::/usr/bin")
		for i, path := range programs {
			programs[i] = strings.TrimPrefix(path, root)
		}
		if got := strings.Join(programs, " "); got != want {
			t.Errorf("%s: found %s, want %s", name, got, want)
		}
		var errs []string // up to the text of the parser
		if err != nil {
			for line := range strings.Lines(strings.ReplaceAll(err.Error(), root, "")) {
				begin, _, _ := strings.Cut(strings.TrimSpace(line), ": toml: ")
				errs = append(errs, begin)
			}
		}
		if got := strings.Join(errs, "; "); got != wantErr {
			t.Errorf("%s: %s, want %s", name, got, wantErr)
		}
	}
	const docker, containerd, shim = "/etc/docker/daemon.json", "/etc/containerd/config.toml", "/etc/containerd/runsc.toml"
	check("an empty host", nil, "", "")
	check("programs in PATH", map[string]string{"/usr/bin/runsc": "", "/usr/local/bin/runsc": "", "/bin/runsc": "", "/relative/runsc": ""},
		"/usr/local/bin/runsc /usr/bin/runsc", "")
	check("a directory in PATH", map[string]string{"/usr/bin/runsc/file": ""}, "", "")
	check("Docker", map[string]string{docker: `{"runtimes": {"runsc": {"path": "/opt/runsc", "runtimeArgs": ["--platform=kvm"]}, "b": {"path": "/opt/b"}}}`},
		"/opt/b /opt/runsc", "")
	check("Docker, found in PATH", map[string]string{docker: `{"runtimes": {"gvisor": {"path": "runsc-7"}}}`, "/usr/bin/runsc-7": ""}, "/usr/bin/runsc-7", "")
	check("Docker, with a relative path", map[string]string{docker: `{"runtimes": {"a": {"path": "bin/runsc"}, "b": {"path": "./runsc"}, "c": {}}}`}, "", "")
	check("Docker, with the shim", map[string]string{docker: `{"runtimes": {"gvisor": {"runtimeType": "io.containerd.runsc.v1",
		"options": {"TypeUrl": "io.containerd.runsc.v1.options", "ConfigPath": "/opt/gvisor.toml"}}}}`, "/opt/gvisor.toml": `binary_name = "/opt/runsc"`}, "/opt/runsc", "")
	check("another shim of Docker", map[string]string{docker: `{"runtimes": {"kata": {"runtimeType": "io.containerd.kata.v2",
		"options": {"ConfigPath": "/opt/kata.toml"}}}}`, "/opt/kata.toml": `binary_name = "/opt/kata"`}, "", "")
	check("Docker without runtimes", map[string]string{docker: `{"debug": true}`}, "", "")
	check("the usual configuration of the shim", map[string]string{shim: "binary_name = \"/opt/runsc\"\n[runsc_config]\n  platform = \"kvm\"\n"}, "/opt/runsc", "")
	check("the shim, found in PATH", map[string]string{shim: `log_level = "debug"`, "/usr/bin/runsc": ""}, "/usr/bin/runsc", "")
	for version, plugin := range map[string]string{"version = 2": `"io.containerd.grpc.v1.cri"`, "version = 3": `"io.containerd.cri.v1.runtime"`} {
		check("containerd, "+version, map[string]string{containerd: version + `
			[plugins.` + plugin + `.containerd.runtimes.runc]
			  runtime_type = "io.containerd.runc.v2"
			  [plugins.` + plugin + `.containerd.runtimes.runc.options]
			    ConfigPath = "/opt/runc.toml"
			[plugins.` + plugin + `.containerd.runtimes.gvisor]
			  runtime_type = "io.containerd.runsc.v1"
			  [plugins.` + plugin + `.containerd.runtimes.gvisor.options]
			    TypeUrl = "io.containerd.runsc.v1.options"
			    ConfigPath = "/opt/gvisor.toml"`,
			"/opt/runc.toml": `binary_name = "/opt/runc"`, "/opt/gvisor.toml": `binary_name = "/opt/runsc"`}, "/opt/runsc", "")
	}
	check("containerd without a configuration of the shim", map[string]string{containerd: "[a]\nruntime_type = \"io.containerd.runsc.v1\"", "/usr/bin/runsc": ""}, "/usr/bin/runsc", "")
	check("all of them", map[string]string{docker: `{"runtimes": {"runsc": {"path": "/opt/runsc"}}}`, shim: `binary_name = "/opt/other"`, "/usr/bin/runsc": ""},
		"/opt/runsc /opt/other /usr/bin/runsc", "")
	check("the same program twice", map[string]string{docker: `{"runtimes": {"a": {"path": "/opt/runsc"}, "b": {"path": "/opt//runsc"}}}`}, "/opt/runsc", "")
	check("broken configurations", map[string]string{docker: `{"runtimes`, containerd: "= 1", shim: `binary_name = 1`, "/usr/bin/runsc": ""}, "/usr/bin/runsc",
		"/etc/docker/daemon.json: unexpected end of JSON input; /etc/containerd/config.toml; /etc/containerd/runsc.toml")
	check("a long configuration", map[string]string{docker: strings.Repeat(" ", maxConfig+1)}, "", "read /etc/docker/daemon.json: more than 1048576 bytes")
	check("a directory", map[string]string{docker + "/x": ""}, "", "read /etc/docker/daemon.json: not a regular file")
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write(t, path("good"), short, 0o600)
	write(t, path("bad"), "metrics", 0o600)
	write(t, path("long"), strings.Repeat(" ", maxOutput+1), 0o600)
	if r, err := Load(path("good")); err != nil || string(r.JSON) != shortJSON {
		t.Errorf("%v, %v", r, err)
	}
	fails := func(name, want string) {
		t.Helper()
		if r, err := Load(path(name)); r != nil || err == nil || err.Error() != strings.ReplaceAll(want, "PATH", path(name)) {
			t.Errorf("%s: %v, %v, want %s", name, r, err, want)
		}
	}
	fails("bad", `PATH: not a registration: "unexpected EOF"`)
	fails("long", "read PATH: more than 4194304 bytes")
	write(t, path("refused"), `metrics: { name: "/a" prometheus_name: "meta_a" description: "d" }`, 0o600)
	if r, err := Load(path("refused")); r != nil || err == nil || !strings.Contains(err.Error(), "meta_a") {
		t.Errorf("a registration that the schema refuses: %v, %v", r, err)
	}
	fails("none", "stat PATH: no such file or directory")
	if err := os.Mkdir(path("dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	fails("dir", "read PATH: not a regular file")
}
