package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A diagnosis is the document of doctor --json.
type diagnosis struct {
	t         *testing.T
	text      string
	Level     string
	Findings  []diagnosedFinding
	Servers   []diagnosedServer
	Local     *diagnosed
	Processes []diagnosedProcess `json:"sandbox_processes"`
	Ignored   []string
}

type diagnosedProcess struct {
	Sandbox      string
	Root         string `json:"runtime_root"`
	HasStateFile bool   `json:"has_state_file"`
}

type diagnosedFinding struct {
	Cause     string
	What      string
	Where     []string
	Sandboxes []string
	Why       string
	Change    string
}

type diagnosedServer struct {
	Address string
	PID     int
	Status  *diagnosed
}

// diagnosed is the status of a server in that document.
type diagnosed struct {
	Sandboxes []diagnosedSandbox
}

type diagnosedSandbox struct {
	ID          string
	RuntimeRoot string `json:"runtime_root"`
	QueryStatus string `json:"query_status"`
}

// doctor runs sandmeter doctor on the world's root and returns what it says.
func (w *world) doctor(args ...string) diagnosis {
	w.t.Helper()
	return diagnose(w.t, newProgram(w.t, w.doctorArgs(args...)...))
}

func (w *world) doctorArgs(args ...string) []string {
	return append([]string{"doctor", "--json", "--root", w.root}, args...)
}

// diagnose runs a program that is doctor --json, and checks that the exit status is that of the
// level.
func diagnose(t *testing.T, p *program) diagnosis {
	t.Helper()
	err := p.Run()
	d := diagnosis{t: t, text: p.out.String()}
	if parseErr := json.Unmarshal([]byte(d.text), &d); parseErr != nil || p.err.String() != "" {
		t.Fatalf("%q: %v, and it says\n%s%s", p.Args, err, &p.out, &p.err)
	}
	want := 0
	if d.Level == "problem" {
		want = 1
	}
	if got := p.ProcessState.ExitCode(); got != want {
		t.Errorf("%q exits with %d, want %d, and says\n%s", p.Args, got, want, d.text)
	}
	return d
}

// finds fails the test unless there is a finding with the cause whose texts contain all parts.
func (d *diagnosis) finds(cause string, parts ...string) {
	d.t.Helper()
	for _, f := range d.Findings {
		text := strings.Join(slices.Concat([]string{f.What, f.Why, f.Change}, f.Where, f.Sandboxes), "\n")
		missing := func(part string) bool { return !strings.Contains(text, part) }
		if f.Cause == cause && !slices.ContainsFunc(parts, missing) {
			return
		}
	}
	d.t.Errorf("there is no %s with %q in\n%s", cause, parts, d.text)
}

// lacks fails the test if there is a finding with one of the causes.
func (d *diagnosis) lacks(causes ...string) {
	d.t.Helper()
	for _, f := range d.Findings {
		if slices.Contains(causes, f.Cause) {
			d.t.Errorf("there is a %s: %s, because %s", f.Cause, f.What, f.Why)
		}
	}
}

// sandbox returns a sandbox, as the servers have it or, if none does, as doctor's own, and the address
// of the server. It fails the test if there is none.
func (d *diagnosis) sandbox(id string) (found diagnosedSandbox, server string) {
	d.t.Helper()
	is := func(s diagnosedSandbox) bool { return s.ID == id }
	for _, s := range d.Servers {
		if s.Status != nil && slices.ContainsFunc(s.Status.Sandboxes, is) {
			return s.Status.Sandboxes[slices.IndexFunc(s.Status.Sandboxes, is)], s.Address
		}
	}
	if d.Local == nil || !slices.ContainsFunc(d.Local.Sandboxes, is) {
		d.t.Fatalf("sandbox %s is not in\n%s", id, d.text)
	}
	return d.Local.Sandboxes[slices.IndexFunc(d.Local.Sandboxes, is)], ""
}

// TestDoctorOfSandboxes: findings about real sandboxes that are fine, stopped, frozen, and orphaned, with
// a server and without one.
func TestDoctorOfSandboxes(t *testing.T) {
	w := newWorld(t)
	w.start("good", "idle")
	w.start("orphan", "idle")
	cold := w.container("cold", "idle")
	cold.Cgroup = true
	w.must(w.node.Run(w.ctx(), cold))
	s := w.startServer(w.serveArgs())
	d := w.doctor("--address", w.addr)
	d.finds("usage_absent", "cgroup_not_own", "good")
	d.lacks("sandbox_not_served", "sandbox_failed", "sandbox_stopped", "sandbox_orphaned", "root_unreadable", "other_pid_namespace", "missing_capability", "no_server")
	if s, server := d.sandbox("cold"); s.QueryStatus != "ok" || server != w.addr {
		t.Errorf("%+v on %q", s, server)
	}

	w.stopSandbox("good")
	w.freeze("cold")
	file := filepath.Join(w.root, "orphan_sandbox:orphan.state")
	w.must(os.Rename(file, file+".away"))
	t.Cleanup(func() { w.must(os.Rename(file+".away", file)) }) // so that the sandbox ends with the test
	w.until(func() error {                                      // a status may be a second old
		d = w.doctor("--address", w.addr)
		for _, id := range []string{"good", "cold"} {
			if s, _ := d.sandbox(id); s.QueryStatus != "failed" {
				return errNot(id + " has failed")
			}
		}
		return nil
	})
	d.finds("sandbox_stopped", "good", "stopped by a signal", fmt.Sprintf("process %d", w.pid("good")))
	d.finds("sandbox_stopped", "cold", "frozen by its cgroup")
	d.finds("sandbox_orphaned", "orphan", "the container runtime takes the sandbox for deleted")
	s.signal(syscall.SIGTERM)
	s.wantEnd(soon, 0)
	d = w.doctor()
	d.finds("sandbox_stopped", "good", "stopped by a signal")
	d.finds("sandbox_orphaned", "orphan", "no server has seen the sandbox")
}

// freeze freezes the cgroup of a sandbox until the end of the test.
func (w *world) freeze(id string) {
	w.t.Helper()
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", w.pid(id)))
	w.must(err)
	file, frozen, thawed := "", "FROZEN", "THAWED"
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case parts[1] == "freezer":
			file = "/sys/fs/cgroup/freezer" + parts[2] + "/freezer.state"
		case parts[1] == "" && file == "":
			file, frozen, thawed = "/sys/fs/cgroup"+parts[2]+"/cgroup.freeze", "1", "0"
		}
	}
	w.t.Cleanup(func() { w.must(os.WriteFile(file, []byte(thawed), 0o644)) })
	w.must(os.WriteFile(file, []byte(frozen), 0o644))
}

// TestDoctorOfOthers: without --root, doctor finds the runtime roots of sandboxes, and a server in a
// container. Processes of another user that pass as servers and sandboxes are ignored and hold nothing up,
// whatever they name.
func TestDoctorOfOthers(t *testing.T) {
	w := newWorld(t)
	id := fmt.Sprintf("sb-%d", os.Getpid()) // the machine may have others
	w.start(id, "idle")
	fifo := filepath.Join(t.TempDir(), "fifo")
	w.must(unix.Mkfifo(fifo, 0o666))
	private := t.TempDir()
	const script = `mount --make-rprivate / && mount -t tmpfs tmpfs "$1" && shift && exec "$@"`
	inside := append([]string{"-m", "sh", "-c", script, "sh", private, sandmeter}, serveArgs(w.root, filepath.Join(private, "socket"))...)
	s := startProgram(t, newRun(t, "unshare", inside...))
	w.until(func() error {
		if s.hasEnded() {
			t.Fatalf("%q has ended and said:\n%s", s.Args, &s.err)
		}
		if !strings.Contains(s.err.String(), "msg=Serving") {
			return errNot("it serves")
		}
		return nil
	})
	var posed []int
	for _, args := range [][]string{
		{"runsc-sandbox", "--root=" + fifo, "boot", "fake"},
		{"runsc-sandbox", "--root=" + w.root, "boot", "fake"},
		{"sandmeter", "serve", "--root", fifo},
	} {
		posed = append(posed, w.pose(65534, args...))
	}
	got := diagnose(t, newProgram(t, "doctor", "--json"))
	for _, pid := range posed {
		if !slices.ContainsFunc(got.Ignored, func(text string) bool { return strings.HasPrefix(text, fmt.Sprintf("process %d of user 65534", pid)) }) {
			t.Errorf("process %d is not in %q", pid, got.Ignored)
		}
	}
	if strings.Contains(got.text, fifo) || strings.Contains(got.text, "fake") {
		t.Errorf("a name of another user is in\n%s", got.text)
	}
	is := func(p diagnosedProcess) bool { return p.Sandbox == id && p.Root == w.root && p.HasStateFile }
	if !slices.ContainsFunc(got.Processes, is) {
		t.Errorf("the sandbox is not in\n%s", got.text)
	}
	got.finds("server_access", fmt.Sprintf("process %d", s.Process.Pid), "it is in a container")
	got.lacks("sandbox_not_served")
}

// pose starts a program of a user with a command line, a name, and a huge sparse program file. It
// returns its PID.
func (w *world) pose(uid int, args ...string) int {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "posed")
	w.must(os.Mkdir(dir, 0o755))
	shell, err := os.ReadFile("/bin/sh")
	w.must(err)
	program := filepath.Join(dir, args[0])
	w.must(os.WriteFile(program, shell, 0o755))
	w.must(os.Truncate(program, 1<<37))
	for parent := dir; parent != os.TempDir(); parent = filepath.Dir(parent) {
		w.must(os.Chmod(parent, 0o755))
	}
	posed := exec.Command(program)
	posed.Args = append([]string{args[0], "-c", "read line"}, args[1:]...)
	posed.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	input, err := posed.StdinPipe()
	w.must(err)
	w.must(posed.Start())
	w.t.Cleanup(func() {
		_ = input.Close()
		_ = posed.Wait()
	})
	return posed.Process.Pid
}

// TestDoctorPrivileges: what doctor says where it lacks permissions, namespaces or limits.
func TestDoctorPrivileges(t *testing.T) {
	w := newWorld(t)
	w.start("sb", "idle")
	w.must(os.Chmod(w.node.Dir(), 0o755))
	w.must(os.Chmod(w.root, 0o755))
	under := func(finding []string, command ...string) {
		t.Helper()
		command = append(command, sandmeter)
		command = append(command, w.doctorArgs("--address", filepath.Join(w.node.Dir(), "none"))...)
		d := diagnose(t, newRun(t, command[0], command[1:]...))
		d.finds(finding[0], finding[1:]...)
	}
	nobody := []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}
	under([]string{"state_file_unreadable", "sb", "permission denied"}, nobody...)
	under([]string{"missing_capability", "65534", "CAP_SYS_PTRACE"},
		append(nobody, "--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override", "--bounding-set=-all,+dac_override")...)
	under([]string{"other_pid_namespace", "hostPID: true"}, "unshare", "--pid", "--fork", "--mount-proc")
	under([]string{"low_file_limit", "is 64"}, "sh", "-c", `ulimit -n 64 && exec "$@"`, "sh")
	// The limits of a user namespace are as good as those of a user.
	under([]string{"inotify_exhausted", "fs.inotify.max_user_watches"},
		"unshare", "--user", "--map-root-user", "sh", "-c", `echo 0 >/proc/sys/user/max_inotify_watches && exec "$@"`, "sh")
}
