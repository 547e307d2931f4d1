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
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/metricclient"
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

// TestDoctorOfSandboxes: findings about real sandboxes that are fine, stopped, frozen, orphaned, and
// without a registration, with a server and without one.
func TestDoctorOfSandboxes(t *testing.T) {
	w := newDistrustedWorld(t)
	w.start("good", "idle")
	cold := w.container("cold", "idle")
	cold.Cgroup = true
	w.must(w.node.Run(w.ctx(), cold))
	w.startSilent("silent", "idle")
	none := t.TempDir()
	examine := func(args ...string) diagnosis {
		t.Helper()
		return diagnose(t, withPath(newProgram(t, w.doctorArgs(args...)...), none))
	}
	s := startProgram(t, withPath(newProgram(t, w.serveArgs()...), none))
	w.untilServing()
	d := examine("--address", w.addr)
	d.finds("usage_absent", "cgroup_not_own", "good")
	d.lacks("sandbox_not_served", "sandbox_failed", "sandbox_stopped", "sandbox_orphaned", "root_unreadable", "other_pid_namespace", "missing_capability", "no_server")
	if s, server := d.sandbox("silent"); s.QueryStatus != "ok" || server != w.addr {
		t.Errorf("%+v on %q", s, server)
	}

	goOn := w.stopSandbox("good")
	thaw := w.freeze("cold")
	file := filepath.Join(w.root, "silent_sandbox:silent.state")
	w.must(os.Rename(file, file+".away"))
	w.until(func() error { // a status may be a second old
		d = examine("--address", w.addr)
		for _, id := range []string{"good", "cold"} {
			if s, _ := d.sandbox(id); s.QueryStatus != "failed" {
				return errNot(id + " has failed")
			}
		}
		return nil
	})
	d.finds("sandbox_stopped", "good", "stopped by a signal", fmt.Sprintf("process %d", w.pid("good")))
	d.finds("sandbox_stopped", "cold", "frozen by its cgroup")
	d.finds("sandbox_orphaned", "silent", "the container runtime takes the sandbox for deleted")
	s.signal(syscall.SIGTERM)
	s.wantEnd(soon, 0)
	d = examine()
	d.finds("sandbox_stopped", "good", "stopped by a signal")
	d.finds("sandbox_orphaned", "silent", "no server has seen the sandbox")
	goOn()
	thaw()
	w.must(os.Rename(file+".away", file))
	w.remove("good", "cold")
	d = examine()
	d.finds("sandbox_failed", "silent", "not_instrumented", "name it with --runsc")
	d.finds("no_registration_source")
}

// freeze freezes the cgroup of a sandbox. thaw may be called more than once.
func (w *world) freeze(id string) (thaw func()) {
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
	thaw = func() { _ = os.WriteFile(file, []byte(thawed), 0o644) }
	w.t.Cleanup(thaw)
	w.must(os.WriteFile(file, []byte(frozen), 0o644))
	return thaw
}

// untilOld waits until a sandbox is so old that a server should know it.
func (w *world) untilOld(id string) {
	w.t.Helper()
	w.until(func() error {
		info, err := os.Stat(filepath.Join(w.root, id+"_sandbox:"+id+".state"))
		if err == nil && time.Since(info.ModTime()) < 4*time.Second {
			err = errNot("the sandbox is older than every status")
		}
		return err
	})
}

// TestDoctorOfServers: servers that do not serve a sandbox, and why. doctor finds them by their
// sockets.
func TestDoctorOfServers(t *testing.T) {
	w := newWorld(t)
	w.start("sb", "idle")
	other := filepath.Join(w.node.Dir(), "other")
	w.must(os.Mkdir(other, 0o755))
	check := func(name string, parts []string, args ...string) {
		t.Helper()
		s := startProgram(t, newProgram(t, args...))
		w.untilServing()
		w.untilOld("sb")
		d := w.doctor()
		if !slices.ContainsFunc(d.Servers, func(found diagnosedServer) bool { return found.PID == s.Process.Pid && found.Status != nil }) {
			t.Errorf("process %d is not in\n%s", s.Process.Pid, d.text)
		}
		d = w.doctor("--address", w.addr)
		d.finds("sandbox_not_served", append([]string{"sb"}, parts...)...)
		s.signal(syscall.SIGTERM)
		s.wantEnd(soon, 0)
	}
	check("of another root", []string{"no server has this runtime root", "add --root " + w.root}, serveArgs(other, w.addr)...)
	check("in place of gVisor's", []string{"serves only sandboxes that were created with --metric-server=%RUNTIME_ROOT%/../metrics.sock"},
		"--root="+w.root, "--metric-server=%RUNTIME_ROOT%/../metrics.sock", "metric-server")
}

// untilServing waits until a server at the world's address describes itself.
func (w *world) untilServing() {
	w.t.Helper()
	client := metricclient.NewMetricClient(w.addr, w.root)
	defer client.Close()
	w.until(func() error { _, err := client.GetStatus(w.ctx()); return err })
}

// TestDoctorOfOthers: processes and sockets of another user that pass as servers and sandboxes change no
// finding and hold nothing up, whatever they name.
func TestDoctorOfOthers(t *testing.T) {
	w := newWorld(t)
	w.start("sb", "idle")
	fifo := filepath.Join(t.TempDir(), "fifo")
	w.must(unix.Mkfifo(fifo, 0o666))
	none := filepath.Join(t.TempDir(), "none")
	want := w.doctor("--address", none)
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
	for _, text := range []string{fifo, "fake"} {
		if strings.Contains(got.text, text) {
			t.Errorf("%s is in\n%s", text, got.text)
		}
	}
	if got := w.doctor("--address", none); !slices.EqualFunc(got.Findings, want.Findings, func(a, b diagnosedFinding) bool { return a.Cause == b.Cause }) {
		t.Errorf("the findings are %+v, and without these processes %+v", got.Findings, want.Findings)
	}
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

// TestDoctorOfAccess: servers that doctor may not ask, and those with TLS and a password.
func TestDoctorOfAccess(t *testing.T) {
	w := newWorld(t)
	w.start("sb", "idle")
	web, client, stranger := w.secured()
	s := w.startServer(w.serveArgs(web...))
	for _, flags := range [][]string{nil, stranger} {
		d := w.doctor(append(flags, "--address", w.addr)...)
		d.finds("server_access", w.addr, "--web.client-config.file")
		d.lacks("sandbox_not_served")
	}
	d := w.doctor(append(client, "--address", w.addr)...)
	d.lacks("server_access", "sandbox_not_served")
	if _, server := d.sandbox("sb"); server != w.addr {
		t.Errorf("the sandbox is served by %q", server)
	}
	s.signal(syscall.SIGTERM)
	s.wantEnd(soon, 0)

	// A server in another mount namespace, as in a container.
	private := t.TempDir()
	const script = `mount --make-rprivate / && mount -t tmpfs tmpfs "$1" && shift && exec "$@"`
	inside := append([]string{"-m", "sh", "-c", script, "sh", private, sandmeter}, serveArgs(w.root, filepath.Join(private, "socket"))...)
	s = startProgram(t, newRun(t, "unshare", inside...))
	w.until(func() error {
		if s.hasEnded() {
			t.Fatalf("%q has ended and said:\n%s", s.Args, &s.err)
		}
		if !strings.Contains(s.err.String(), "msg=Serving") {
			return errNot("it serves")
		}
		return nil
	})
	d = w.doctor()
	d.finds("server_access", fmt.Sprintf("process %d", s.Process.Pid), "it is in a container")
	d.lacks("sandbox_not_served")
}

// TestDoctorOfProcesses: without --root, doctor finds a runtime root in the command lines of
// sandboxes.
func TestDoctorOfProcesses(t *testing.T) {
	w := newWorld(t)
	id := fmt.Sprintf("sb-%d", os.Getpid()) // the machine may have others
	w.start(id, "idle")
	d := diagnose(t, newProgram(t, "doctor", "--json"))
	is := func(p diagnosedProcess) bool { return p.Sandbox == id && p.Root == w.root && p.HasStateFile }
	if !slices.ContainsFunc(d.Processes, is) {
		t.Errorf("the sandbox is not in\n%s", d.text)
	}
	w.must(os.Chmod(w.root, 0o777))
	d = diagnose(t, newProgram(t, "doctor", "--json"))
	d.finds("root_not_examined", w.root, "writable by everybody")
}

// TestDoctorPrivileges: what doctor says where it lacks permissions, namespaces or limits.
func TestDoctorPrivileges(t *testing.T) {
	w := newWorld(t)
	w.start("sb", "idle")
	under := func(command ...string) diagnosis {
		t.Helper()
		command = append(command, sandmeter)
		command = append(command, w.doctorArgs("--address", filepath.Join(w.node.Dir(), "none"))...)
		return diagnose(t, newRun(t, command[0], command[1:]...))
	}
	nobody := []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}
	d := under(nobody...)
	d.finds("root_unreadable", w.root, "permission denied")
	w.must(os.Chmod(w.node.Dir(), 0o755))
	w.must(os.Chmod(w.root, 0o755))
	d = under(nobody...)
	d.finds("state_file_unreadable", "sb", "permission denied")
	d.finds("missing_capability", "65534", "CAP_DAC_OVERRIDE")
	d = under(append(nobody, "--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override", "--bounding-set=-all,+dac_override")...)
	d.finds("missing_capability", "65534", "CAP_SYS_PTRACE")
	d.finds("usage_absent", "sentry_unreadable", "sb")
	d.lacks("sandbox_failed")
	d = under(append(nobody, "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search", "--bounding-set=-all,+dac_read_search")...)
	d.finds("sandbox_failed", "permission_denied", "sb")

	d = under("unshare", "--pid", "--fork", "--mount-proc")
	d.finds("other_pid_namespace", "hostPID: true")
	d = under("sh", "-c", `ulimit -n 64 && exec "$@"`, "sh")
	d.finds("low_file_limit", "is 64")
	// The limits of a user namespace are as good as those of a user.
	for limit, sysctl := range map[string]string{"inotify_instances": "fs.inotify.max_user_instances", "inotify_watches": "fs.inotify.max_user_watches"} {
		d = under("unshare", "--user", "--map-root-user", "sh", "-c", `echo 0 >/proc/sys/user/max_`+limit+` && exec "$@"`, "sh")
		d.finds("inotify_exhausted", sysctl)
	}
}

// TestDoctorOfFinalLogs: final metrics logs that the server does not read.
func TestDoctorOfFinalLogs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pattern := filepath.Join(w.node.Dir(), "%ID%.log")
	c := w.container("sb", "idle")
	c.Flags = []string{"--final-metrics-log=" + pattern}
	w.must(w.node.Run(w.ctx(), c))
	check := func(want string, args ...string) {
		t.Helper()
		s := w.startServer(w.serveArgs(args...))
		d := w.doctor("--address", w.addr)
		if want == "" {
			d.lacks("final_log_differs")
		} else {
			d.finds("final_log_differs", pattern, want)
		}
		s.signal(syscall.SIGTERM)
		s.wantEnd(soon, 0)
	}
	check("the server has no --final-metrics-log")
	check("the server has --final-metrics-log=/var/final/%ID%.log", "--final-metrics-log", "/var/final/%ID%.log")
	check("", "--final-metrics-log", pattern)
}

// TestDoctorOfDocker: doctor finds the containers of a Docker whose set-up it does not know, and
// says what they lack.
func TestDoctorOfDocker(t *testing.T) {
	d := newDocker(t)
	d.image("local/app:1")
	id := d.run("run", "--detach", "--runtime="+asShipped, "local/app:1", "/sandlab", "workload", "idle")
	other := filepath.Join(d.dir, "other")
	d.must(os.Mkdir(other, 0o755))
	w := &world{t: t, root: d.root(), addr: d.addr}
	examine := func() diagnosis {
		t.Helper()
		found := diagnose(t, newProgram(t, "doctor", "--json", "--address", d.addr))
		for _, f := range found.Findings {
			if f.Cause != "sandbox_not_served" && slices.Contains(f.Sandboxes, id) {
				t.Errorf("%s: %s", f.Cause, f.What)
			}
		}
		return found
	}
	serve := func(root string) *server {
		t.Helper()
		w.client = metricclient.NewMetricClient(d.addr, root)
		t.Cleanup(w.client.Close)
		return w.startServer(serveArgs(root, d.addr, "--runsc", realRunsc(t)))
	}
	s := serve(other)
	w.untilOld(id)
	found := examine()
	found.finds("sandbox_not_served", id, "add --root "+d.root()+" to a server")
	s.signal(syscall.SIGTERM)
	s.wantEnd(soon, 0)
	serve(d.root())
	w.until(func() error { // runsc has printed a registration
		if _, up := w.scrape().value(alwaysThere, "sandbox", id); !up {
			return errNot("the container has metrics")
		}
		return nil
	})
	found = examine()
	if s, server := found.sandbox(id); s.QueryStatus != "ok" || server != d.addr || s.RuntimeRoot != d.root() {
		t.Errorf("%+v on %q", s, server)
	}
}
