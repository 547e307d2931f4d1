package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// A step is what a block of commands of docs/operating.md is, and what it has to print.
type step struct {
	begin string // of the block
	want  string // regular expression. Two groups of it have to match the same text.
	asks  bool   // the commands change nothing, and are repeated until they print what is wanted
}

// dockerHost returns a host with Docker, which does not run yet.
func dockerHost(t *testing.T) *host {
	t.Helper()
	daemon, err := exec.LookPath("dockerd")
	if err != nil {
		noDocker(t, err.Error()+": install it, with Debian's package docker.io for instance")
	}
	return newHost(t, filepath.Dir(dockerClient(t, daemon)), filepath.Dir(daemon))
}

// TestOperatingDocker runs the commands of docs/operating.md for Docker.
func TestOperatingDocker(t *testing.T) {
	h := dockerHost(t)
	defer h.run("docker rm --force hello") // its cgroups are those of the machine
	h.follow("## Docker", []step{
		{begin: "runsc install\n"},
		{begin: "apt-get install"},
		{begin: "docker run"},
		{"curl", `(?m)^sandmeter_sandbox_running\{.*sandbox="(.+)"\} 1\n(?s:.*)^([0-9a-f]{64})$`, true},
		{"sandmeter list", `(?m)^[0-9a-f]{64} .* running .* ok$`, true},
		{"curl", `(?m)^runsc_fs_opens_total\{.*\} \d+$`, true},
		{"docker stop", `(?m)^sandmeter_sandbox_outcome\{.*outcome="(?:failed|killed)"`, false},
	})
}

// TestOperatingInContainer runs the commands of docs/operating.md that run the server in a container.
func TestOperatingInContainer(t *testing.T) {
	h := dockerHost(t)
	defer h.run("docker rm --force hello sandmeter")
	h.must("runsc install -- --sidecar-usage-policy=STRICT && systemctl restart docker && docker run --detach --name hello --runtime runsc busybox sleep 3600")
	image, err := writeImage()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(image, filepath.Join(h.dir, filepath.Base(image))); err != nil {
		t.Fatal(err)
	}
	h.follow("## In a container", []step{
		{begin: "docker load"},
		{"curl", `(?m)^sandmeter_sandbox_up\{.*\} 1\n(?s:.*)serves /var/run/docker/runtime-runc/moby`, true},
	}, "VERSION", "e2e", "amd64", runtime.GOARCH, "/usr/local/bin:/usr", filepath.Dir(realRunsc(t))+":/usr")
}

// envRequireContainerd names the environment variable that turns skipping TestOperatingContainerd
// into failing when it is "1".
const envRequireContainerd = "SANDMETER_REQUIRE_CONTAINERD"

// TestOperatingContainerd runs the commands of docs/operating.md for containerd.
func TestOperatingContainerd(t *testing.T) {
	path, err := containerdPath()
	switch {
	case err != nil && os.Getenv(envRequireContainerd) == "1":
		t.Fatal(err)
	case err != nil:
		t.Skipf("%v: make kubernetes bin/containerd-shim-runsc-v1 builds it; $%s=1 makes this an error", err, envRequireContainerd)
	}
	h := newHost(t, path...)
	defer h.run("ctr task delete --force hello; ctr container delete hello")
	h.must("containerd > $HOST/daemon.log 2>&1 & until ctr version > /dev/null 2>&1; do kill -0 $!; sleep 0.1; done")
	h.follow("## containerd", []step{
		{begin: "apt-get install"},
		{begin: "ctr images pull"},
		{"curl", `(?m)^sandmeter_sandbox_running\{.*sandbox="hello"\} 1\n(?s:.*)^hello .* running .* ok$`, true},
		{"ctr task delete", `(?m)^sandmeter_sandbox_outcome\{.*sandbox="hello"`, false},
	})
}

// envContainerd names the environment variable with the directory of containerd and ctr, which make
// kubernetes builds.
const envContainerd = "SANDMETER_CONTAINERD"

// containerdPath returns the directories of containerd and of the shim of runsc.
func containerdPath() (dirs []string, err error) {
	programs := []string{"../bin/containerd-shim-runsc-v1"}
	for _, name := range []string{"containerd", "ctr"} {
		programs = append(programs, filepath.Join(os.Getenv(envContainerd), name))
	}
	for _, program := range programs {
		path, err := filepath.Abs(program)
		if err == nil {
			_, err = os.Stat(path)
		}
		if err != nil {
			return nil, err
		}
		dirs = append(dirs, filepath.Dir(path))
	}
	return dirs, nil
}

// follow runs the commands of a section of docs/operating.md. There is one step per block. In the
// first block, each of the old texts is replaced by the new text that follows it.
func (h *host) follow(heading string, steps []step, oldNew ...string) {
	h.t.Helper()
	part := readDocument(h.t, "operating.md").section(heading)
	blocks := part.blocks("sh")
	if len(blocks) != len(steps) {
		h.t.Fatalf("%s has %d blocks of commands, and the test %d steps", part.name, len(blocks), len(steps))
	}
	blocks[0] = part.replaced(blocks[0], oldNew...)
	for i, s := range steps {
		if !strings.HasPrefix(blocks[i], s.begin) {
			h.t.Fatalf("%s: a block begins with %q, want %q", part.name, blocks[i], s.begin)
		}
		if s.asks {
			(&world{t: h.t}).until(func() error { return s.check(h.run(blocks[i])) })
		} else if err := s.check(h.must(blocks[i]), nil); err != nil {
			h.t.Fatal(err)
		}
	}
}

// check returns an error unless the output of a block is as wanted.
func (s step) check(said string, err error) error {
	if err != nil {
		return err
	}
	match := regexp.MustCompile(s.want).FindStringSubmatch(said)
	if match == nil || len(match) == 3 && match[1] != match[2] {
		return fmt.Errorf("the commands that begin with %q print\n%s\nwhich does not match %s", s.begin, said, s.want)
	}
	return nil
}
