package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A host is a machine on which commands of documents run as they are written: namespaces in which
// the directories that daemons use by default are empty. The programs are those of this machine.
// Commands of its own stand in for systemd, for the package of the server, and for a registry.
type host struct {
	t   *testing.T
	dir string
	pid int // of its first process, with whose end everything in it ends
	env []string
}

// hostScript hides the directories of this machine. The argument is the directory of the host.
const hostScript = `set -e
mount --make-rprivate /
mkdir "$1/etc"
mount -t tmpfs tmpfs "$1/etc"
cp -a /etc/. "$1/etc"
rm -rf "$1/etc/docker" "$1/etc/containerd"
mkdir "$1/etc/docker"
mount --move "$1/etc" /etc
for dir in /run /var/lib /opt; do mount -t tmpfs tmpfs $dir; done
mount -t proc proc /proc
ip link set lo up
: > "$1/ready"
exec sleep infinity`

// standIns are the commands that the host has of its own.
var standIns = map[string]string{
	"systemctl": `case "$*" in
"restart docker")
	dockerd > "$HOST/daemon.log" 2>&1 &
	until docker version > /dev/null 2>&1; do kill -0 $!; sleep 0.1; done
	docker load --quiet --input "$HOST/image.tar" ;;
"enable --now sandmeter") # with the settings of the package, none of which has quotes
	env $(grep -v '^#' "$HOST/sandmeter.default") sandmeter serve > "$HOST/server.log" 2>&1 &
	until curl --silent --fail --output /dev/null localhost:19640/-/ready; do kill -0 $!; sleep 0.1; done ;;
*) exit 1 ;;
esac`,
	"apt-get": `case "$*" in "install ./sandmeter_"*".deb") ;; *) exit 1 ;; esac`,
	"ctr": `PATH=${PATH#*:} # without this command
case "$1 $2" in
"images pull") exec ctr images import "$HOST/image.tar" ;;
*) exec ctr "$@" ;;
esac`,
}

// newHost starts a host that ends with the test. Its PATH has the given directories, and knows runsc
// and the program under test.
func newHost(t *testing.T, path ...string) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir()}
	bin := filepath.Join(h.dir, "bin")
	h.env = []string{"HOME=/root", "HOST=" + h.dir,
		"PATH=" + strings.Join(append([]string{bin}, path...), ":") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.Mkdir(bin, 0o755))
	check(os.Symlink(realRunsc(t), filepath.Join(bin, "runsc")))
	check(os.Symlink(sandmeter, filepath.Join(bin, "sandmeter")))
	for name, script := range standIns {
		check(os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\nset -e\n"+script+"\n"), 0o755))
	}
	check(os.WriteFile(filepath.Join(h.dir, "image.tar"), sleepImage(t), 0o600))
	settings, err := os.ReadFile("../packaging/sandmeter.default")
	check(err)
	check(os.WriteFile(filepath.Join(h.dir, "sandmeter.default"), settings, 0o600))
	h.start()
	return h
}

// start starts the first process of the host.
func (h *host) start() {
	h.t.Helper()
	var said bytes.Buffer
	first := exec.Command("sh", "-c", hostScript, "sh", h.dir)
	first.Stderr = &said
	first.WaitDelay = time.Second
	first.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID}
	if err := first.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.pid = first.Process.Pid
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = first.Wait() // it is killed
	}()
	h.t.Cleanup(func() {
		_ = first.Process.Kill()
		<-ended
	})
	(&world{t: h.t}).until(func() error {
		select {
		case <-ended:
			h.t.Fatalf("the namespaces of the host cannot be made: %s", &said)
		default:
		}
		_, err := os.Stat(filepath.Join(h.dir, "ready"))
		return err
	})
}

// run runs commands on the host, up to the first that fails, and returns what they print.
func (h *host) run(commands string) (said string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), ample)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "--target", strconv.Itoa(h.pid), "--mount", "--net", "--pid", "--wd="+h.dir, "--", "sh", "-ec", commands)
	cmd.Env, cmd.WaitDelay = h.env, time.Second
	var faults bytes.Buffer
	cmd.Stderr = &faults
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w of\n%s\nwhich says\n%s%s%s", err, commands, out, &faults, h.logs())
	}
	return string(out), err
}

// must is run for commands that must succeed.
func (h *host) must(commands string) (said string) {
	h.t.Helper()
	said, err := h.run(commands)
	if err != nil {
		h.t.Fatal(err)
	}
	return said
}

// logs returns the last lines of the logs of daemons.
func (h *host) logs() string {
	var logs strings.Builder
	for _, name := range []string{"daemon.log", "server.log"} {
		text, _ := os.ReadFile(filepath.Join(h.dir, name)) // the daemon may not have started
		lines := strings.Split(string(text), "\n")
		fmt.Fprintf(&logs, "%s:\n%s\n", name, strings.Join(lines[max(0, len(lines)-15):], "\n"))
	}
	return logs.String()
}

// sleepImage returns an image busybox:latest, as `docker save` writes it, that has a command sleep and
// nothing else.
func sleepImage(t *testing.T) []byte {
	t.Helper()
	program := filepath.Join(t.TempDir(), "sleep")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, "./testdata/sleep")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	layer := tarOf(t, file{"bin/sleep", 0o755, text})
	config := jsonOf(t, map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	manifest := jsonOf(t, []any{map[string]any{"Config": "config.json", "RepoTags": []string{"busybox:latest"}, "Layers": []string{"layer.tar"}}})
	return tarOf(t, file{"config.json", 0o644, config}, file{"layer.tar", 0o644, layer}, file{"manifest.json", 0o644, manifest})
}

// A file is a file of a tar archive.
type file struct {
	name string
	mode int64
	text []byte
}

func tarOf(t *testing.T, files ...file) []byte {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, f := range files {
		err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.text))})
		if err == nil {
			_, err = w.Write(f.text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}

func jsonOf(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
