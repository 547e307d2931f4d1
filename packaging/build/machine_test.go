package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A machine is this machine in a mount, a network and a PID namespace of its own: packages can be
// installed, and what they change is gone at the end of the test, with all processes, even if the test
// is killed. /run and /tmp are empty. A program that records its arguments is in the place of
// systemctl, so that packages find a systemd that runs.
type machine struct {
	t    *testing.T
	pid  int    // of the process that keeps the namespaces, the parent of the first one of the machine
	root string // the machine's root, seen from these namespaces
}

const setUpMachine = `set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/changes" "$1/work" "$1/root"
mount -t overlay overlay -o lowerdir=/,upperdir="$1/changes",workdir="$1/work" "$1/root"
for dir in dev sys; do mount --rbind "/$dir" "$1/root/$dir"; done
mount -t proc proc "$1/root/proc"
for dir in run tmp; do mount -t tmpfs tmpfs "$1/root/$dir"; done
ip link set lo up
echo ready
cat`

// newMachine returns a machine without the package. It needs root.
func newMachine(t *testing.T) *machine {
	t.Helper()
	needs(t, "unshare", "nsenter", "chroot", "ip", "systemctl")
	if os.Getuid() != 0 {
		unavailable(t, "this takes root")
	}
	dir := t.TempDir()
	keeper := exec.Command("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private", "sh", "-c", setUpMachine, "sh", dir)
	stdin, err := keeper.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := keeper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	keeper.Stderr = &stderr
	if err := keeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = keeper.Wait() // it ends with its input
	})
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		stdin.Close()
		_ = keeper.Wait()
		unavailable(t, "an overlay of the root directory cannot be mounted: "+stderr.String())
	}
	m := &machine{t: t, pid: keeper.Process.Pid, root: filepath.Join(dir, "root")}
	m.installSystemctl()
	return m
}

// command returns a command that runs on the machine, as the only child of its process.
func (m *machine) command(name string, args ...string) *exec.Cmd {
	ns := fmt.Sprintf("/proc/%d/ns/", m.pid)
	all := append([]string{"--mount=" + ns + "mnt", "--net=" + ns + "net", "--pid=" + ns + "pid_for_children", "chroot", m.root, name}, args...)
	cmd := exec.CommandContext(m.t.Context(), "nsenter", all...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
	return cmd
}

// try runs a command on the machine, and returns its output and error.
func (m *machine) try(name string, args ...string) (string, error) {
	out, err := m.command(name, args...).CombinedOutput()
	return string(out), err
}

// run is try for a command that has to succeed.
func (m *machine) run(name string, args ...string) string {
	m.t.Helper()
	out, err := m.try(name, args...)
	if err != nil {
		m.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

// dpkg runs dpkg on the machine, without the triggers of other packages, which rebuild the index of all
// manual pages.
func (m *machine) dpkg(args ...string) {
	m.t.Helper()
	m.run("dpkg", append([]string{"--no-triggers", "--force-unsafe-io"}, args...)...)
}

// path returns a path of the machine, seen from the test.
func (m *machine) path(path string) string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root", m.pid), m.root, path)
}

// write writes a file of the machine.
func (m *machine) write(path, text string, mode fs.FileMode) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(path)), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(m.path(path), []byte(text), mode); err != nil {
		m.t.Fatal(err)
	}
}

// read returns the content of a file of the machine.
func (m *machine) read(path string) string {
	m.t.Helper()
	return string(read(m.t, m.path(path)))
}

// has tells whether the machine has a file.
func (m *machine) has(path string) bool {
	_, err := os.Lstat(m.path(path))
	return err == nil
}

// copy copies a file to the machine, and returns its path there.
func (m *machine) copy(from, to string) string {
	m.t.Helper()
	m.write(to, string(read(m.t, from)), 0o755)
	return to
}

// systemctl writes its arguments to a file, without options and questions. The real program makes and
// removes links of units, which it does without a running systemd, too.
const systemctl = `#!/bin/sh
case "$*" in
*is-active*) exit 3 ;;
*is-*) ;;
*)
	for word; do
		case $word in -*) ;; *) line="$line $word" ;; esac
	done
	echo "${line# }" >>/run/systemctl
	;;
esac
case "$*" in
*daemon-reload* | *start* | *stop*) ;;
*) exec /usr/bin/systemctl.real --root=/ "$@" ;;
esac
`

func (m *machine) installSystemctl() {
	m.t.Helper()
	m.run("mv", "/usr/bin/systemctl", "/usr/bin/systemctl.real")
	m.write("/usr/bin/systemctl", systemctl, 0o755)
	m.write("/run/systemd/system/.keep", "", 0o644)
	// Images of containers forbid packages to start services.
	if err := os.Remove(m.path("/usr/sbin/policy-rc.d")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.t.Fatal(err)
	}
}

// told returns what systemctl was told to do since the last call.
func (m *machine) told() string {
	m.t.Helper()
	if !m.has("/run/systemctl") {
		return ""
	}
	text := m.read("/run/systemctl")
	if err := os.Remove(m.path("/run/systemctl")); err != nil {
		m.t.Fatal(err)
	}
	return strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ")
}

// wantTold fails the test unless systemctl was told exactly this.
func (m *machine) wantTold(want string) {
	m.t.Helper()
	if got := m.told(); got != want {
		m.t.Errorf("systemctl was told %q, want %q", got, want)
	}
}

// changed returns the files that differ from those of this machine and have the word in their path.
func (m *machine) changed(word string) []string {
	m.t.Helper()
	root := filepath.Join(filepath.Dir(m.path("/")), "changes")
	var found []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		below := strings.TrimPrefix(path, root)
		if err == nil && strings.Contains(below, word) && d.Type()&fs.ModeCharDevice == 0 { // such devices stand for removed files
			found = append(found, below)
		}
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return found
}
