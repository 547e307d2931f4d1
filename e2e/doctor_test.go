package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/runsc"
	"github.com/sandmeter/sandmeter/internal/runsc/runsctest"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/metricclient"
)

// A diagnosis is the document of doctor --json.
type diagnosis struct {
	t        *testing.T
	text     string
	Level    string
	Problems int
	Checks   []struct {
		Check    string
		Findings []struct {
			Cause     string
			What      string
			Where     []string
			Sandboxes []string
			Why       string
			Change    string
		}
	}
	Sandboxes []diagnosed
}

// A diagnosed sandbox is one in that document.
type diagnosed struct {
	ID          string
	RuntimeRoot string     `json:"runtime_root"`
	QueryStatus string     `json:"query_status"`
	RunscBuilt  *time.Time `json:"runsc_built"`
	UsageAbsent []string   `json:"usage_absent"`
	OnServers   []onServer `json:"on_servers"`
}

type onServer struct {
	Address string
	Served  bool
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
	if got := p.ProcessState.ExitCode(); got != want || (d.Problems > 0) != (want == 1) {
		t.Errorf("%q exits with %d, want %d, and says\n%s", p.Args, got, want, d.text)
	}
	return d
}

// finds fails the test unless there is a finding with the cause whose texts contain all parts.
func (d *diagnosis) finds(check, cause string, parts ...string) {
	d.t.Helper()
	for _, c := range d.Checks {
		for _, f := range c.Findings {
			text := strings.Join(slices.Concat([]string{f.What, f.Why, f.Change}, f.Where, f.Sandboxes), "\n")
			missing := func(part string) bool { return !strings.Contains(text, part) }
			if c.Check == check && f.Cause == cause && !slices.ContainsFunc(parts, missing) {
				return
			}
		}
	}
	d.t.Errorf("there is no %s/%s with %q in\n%s", check, cause, parts, d.text)
}

// lacks fails the test if there is a finding with one of the causes.
func (d *diagnosis) lacks(causes ...string) {
	d.t.Helper()
	for _, c := range d.Checks {
		for _, f := range c.Findings {
			if slices.Contains(causes, f.Cause) {
				d.t.Errorf("there is a %s: %s, because %s", f.Cause, f.What, f.Why)
			}
		}
	}
}

// sandbox returns a sandbox, or fails the test.
func (d *diagnosis) sandbox(id string) diagnosed {
	d.t.Helper()
	i := slices.IndexFunc(d.Sandboxes, func(s diagnosed) bool { return s.ID == id })
	if i < 0 {
		d.t.Fatalf("sandbox %s is not in\n%s", id, d.text)
	}
	return d.Sandboxes[i]
}

// TestDoctorOfSandboxes: what doctor says of real sandboxes that are fine, stopped, and without a
// registration, and of a server that does not serve some of them. What it says to change helps.
func TestDoctorOfSandboxes(t *testing.T) {
	program := distrusted(t, realRunsc(t))
	w := newWorldWith(t, runsc.Config{Runsc: program, Program: sandlab})
	w.start("good", "idle")
	alone := w.container("alone", "idle")
	alone.Cgroup = true
	w.must(w.node.Run(w.ctx(), alone))
	s := w.startServer(w.serveArgs())
	d := w.doctor("--address", w.addr)
	d.finds("usage", "cgroup_not_own", "good")
	d.lacks("sandbox_not_served", "stalled", "not_instrumented", "root_unreadable", "other_pid_namespace", "cannot_query", "no_server")
	for _, sandbox := range d.Sandboxes {
		if alone := sandbox.ID == "alone"; alone == slices.Contains(sandbox.UsageAbsent, "cgroup_not_own") {
			t.Errorf("%+v", sandbox)
		}
		// runsc is built from a module, whose version has the date.
		if sandbox.RunscBuilt == nil || sandbox.RunscBuilt.Year() < 2026 {
			t.Errorf("the date of runsc is %v", sandbox.RunscBuilt)
		}
		if sandbox.QueryStatus != "ok" || len(sandbox.OnServers) != 1 || !sandbox.OnServers[0].Served || sandbox.RuntimeRoot != w.root {
			t.Errorf("%+v", sandbox)
		}
	}

	w.startSilent("silent", "idle")
	goOn := w.stopSandbox("good")
	d = diagnose(t, withPath(newProgram(t, w.doctorArgs("--address", w.addr)...), t.TempDir()))
	d.finds("sandboxes", "stalled", "good", "its process is stopped", fmt.Sprintf("kill -CONT %d", w.pid("good")))
	goOn()
	d = w.doctor("--address", w.addr)
	d.lacks("stalled", "not_instrumented") // the registration of another sandbox of the build

	w.remove("good", "alone")
	s.signal(syscall.SIGTERM)
	s.wantEnd(soon, 0)
	d = diagnose(t, withPath(newProgram(t, w.doctorArgs()...), t.TempDir()))
	d.finds("sandboxes", "not_instrumented", "silent", "add --runsc "+program+" to the server")
	d.finds("registrations", "no_registration_source")
}

// TestDoctorOfScript: PATH has a script that executes runsc. The sandboxes show the program itself, which
// doctor and servers use if nobody else can have put it there.
func TestDoctorOfScript(t *testing.T) {
	check := func(name, program string, examine func(d *diagnosis)) {
		t.Run(name, func(t *testing.T) {
			w := newWorldWith(t, runsc.Config{Runsc: program, Program: sandlab})
			w.startSilent("silent", "idle")
			script := filepath.Join(t.TempDir(), "runsc")
			w.must(os.WriteFile(script, []byte("#!/bin/sh\nexec "+program+` "$@"`+"\n"), 0o755))
			d := diagnose(t, withPath(newProgram(t, w.doctorArgs()...), filepath.Dir(script)))
			examine(&d)
		})
	}
	check("trusted", realRunsc(t), func(d *diagnosis) { d.lacks("not_instrumented", "no_registration_source") })
	program := distrusted(t, realRunsc(t))
	check("others may replace it", program, func(d *diagnosis) {
		d.finds("sandboxes", "not_instrumented", "silent", filepath.Dir(program)+" is writable by everybody")
		d.finds("registrations", "no_registration_source")
	})
}

// untilOld waits until a sandbox is so old that a server should know it.
func (w *world) untilOld(id string) {
	w.t.Helper()
	w.until(func() error {
		info, err := os.Stat(filepath.Join(w.root, id+"_sandbox:"+id+".state"))
		if err == nil && time.Since(info.ModTime()) < time.Second {
			err = errNot("the sandbox is a second old")
		}
		return err
	})
}

// TestDoctorOfServers: servers that do not serve a sandbox, and why. doctor finds them by their
// processes.
func TestDoctorOfServers(t *testing.T) {
	w := newWorld(t)
	w.start("sb", "idle")
	other := filepath.Join(w.node.Dir(), "other")
	w.must(os.Mkdir(other, 0o755))
	check := func(name string, parts []string, args ...string) {
		t.Helper()
		s := startProgram(t, newProgram(t, args...))
		client := metricclient.NewMetricClient(w.addr, other)
		defer client.Close()
		w.until(func() error {
			if s.hasEnded() {
				t.Fatalf("%q has ended and said:\n%s", s.Args, &s.err)
			}
			_, err := client.GetMetrics(w.ctx(), nil)
			return err
		})
		w.untilOld("sb")
		d := w.doctor("--address", w.addr)
		d.finds("servers", "sandbox_not_served", append([]string{"sb", fmt.Sprintf("process %d ", s.Process.Pid)}, parts...)...)
		s.signal(syscall.SIGTERM)
		s.wantEnd(soon, 0)
	}
	check("of another root", []string{"serves " + other + ", and not " + w.root, "add --root " + w.root}, serveArgs(other, w.addr)...)
	check("in place of gVisor's", []string{"serves only sandboxes that were created with --metric-server=%RUNTIME_ROOT%/../metrics.sock"},
		"--root="+w.root, "--metric-server=%RUNTIME_ROOT%/../metrics.sock", "metric-server")
}

// TestDoctorOfUntrustedServers: the processes and sockets of another user that pass themselves off as a
// server change no result: not what is served, nor which program and which file doctor uses as
// root.
func TestDoctorOfUntrustedServers(t *testing.T) {
	w := newDistrustedWorld(t)
	w.startSilent("silent", "idle")
	w.untilOld("silent")
	examine := func() diagnosis {
		t.Helper()
		return diagnose(t, withPath(newProgram(t, w.doctorArgs()...), t.TempDir()))
	}
	d := examine()
	d.finds("sandboxes", "not_instrumented", "silent")

	address := w.listenAs(65534, `{"sandboxes":[{"id":"silent","iteration":"","runtime_root":"`+w.root+`","query_status":"ok"}]}`)
	liar := w.pose(65534, serveArgs(w.root, address, "--runsc", realRunsc(t), "--registration", "/etc/shadow")...)
	d = examine()
	d.finds("servers", "server_not_trusted", fmt.Sprintf("process %d", liar), "it runs as user 65534")
	d.finds("sandboxes", "not_instrumented", "silent")
	d.lacks("incomplete", "server_unreachable")
	isLiar := func(on onServer) bool { return on.Address == address }
	if slices.ContainsFunc(d.sandbox("silent").OnServers, isLiar) {
		t.Errorf("what another user says is used:\n%s", d.text)
	}

	// Root's server is in another network namespace, and somebody else listens at its address here.
	honest := w.pose(0, serveArgs(w.root, address)...)
	d = examine()
	d.finds("servers", "server_not_trusted", fmt.Sprintf("process %d", honest), "user 65534 listens there")
	d.finds("sandboxes", "not_instrumented", "silent")

	d = diagnose(t, withPath(newProgram(t, w.doctorArgs("--address", address)...), t.TempDir()))
	d.finds("sandboxes", "not_instrumented", "silent") // a reply without an iteration
	d.lacks("server_not_trusted")
}

// listenAs serves a text over HTTP on a socket of a user, and returns its address.
func (w *world) listenAs(uid int, text string) string {
	w.t.Helper()
	runtime.LockOSThread() // the ID is that of a thread
	defer runtime.UnlockOSThread()
	_, err := unix.SetfsuidRetUid(uid)
	w.must(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	_, resetErr := unix.SetfsuidRetUid(os.Geteuid())
	w.must(errors.Join(err, resetErr))
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, text) }))
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	w.t.Cleanup(s.Close)
	return l.Addr().String()
}

// pose starts a shell of a user with the command line and the program file name of a server, and
// returns its PID.
func (w *world) pose(uid int, args ...string) int {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "posed")
	w.must(os.Mkdir(dir, 0o755))
	shell, err := os.ReadFile("/bin/sh")
	w.must(err)
	program := filepath.Join(dir, "sandmeter")
	w.must(os.WriteFile(program, shell, 0o755))
	w.must(os.WriteFile(filepath.Join(dir, args[0]), []byte("read line\n"), 0o644)) // the script of the shell
	for parent := dir; parent != os.TempDir(); parent = filepath.Dir(parent) {
		w.must(os.Chmod(parent, 0o755))
	}
	posed := exec.Command(program, args...)
	posed.Dir = dir
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
	server := fmt.Sprintf("process %d", s.Process.Pid)
	for _, flags := range [][]string{nil, stranger} {
		d := w.doctor(append(flags, "--address", w.addr)...)
		d.finds("servers", "server_access", server, "--web.client-config.file")
		d.lacks("sandbox_not_served")
	}
	d := w.doctor(append(client, "--address", w.addr)...)
	d.lacks("server_access", "sandbox_not_served")
	if on := d.sandbox("sb").OnServers; len(on) != 1 || !on[0].Served {
		t.Errorf("%+v", on)
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
	d.finds("servers", "server_access", fmt.Sprintf("process %d", s.Process.Pid), "in the container of the server")
	d.lacks("sandbox_not_served")
}

// TestDoctorOfProcesses: without --root, doctor finds a runtime root in the command lines of
// sandboxes.
func TestDoctorOfProcesses(t *testing.T) {
	w := newWorld(t)
	id := fmt.Sprintf("sb-%d", os.Getpid()) // the machine may have others
	w.start(id, "idle")
	d := diagnose(t, newProgram(t, "doctor", "--json"))
	if got := d.sandbox(id).RuntimeRoot; got != w.root {
		t.Errorf("the runtime root is %s, want %s", got, w.root)
	}
	w.must(os.Chmod(w.root, 0o777))
	d = diagnose(t, newProgram(t, "doctor", "--json"))
	d.finds("runtime_roots", "root_not_examined", w.root, "writable by everybody")
}

// TestDoctorPrivileges: what doctor says where it lacks permissions, namespaces or limits.
func TestDoctorPrivileges(t *testing.T) {
	w := newWorld(t)
	w.start("sb", "idle")
	under := func(command ...string) diagnosis {
		t.Helper()
		command = append(command, sandmeter)
		command = append(command, w.doctorArgs()...)
		return diagnose(t, newRun(t, command[0], command[1:]...))
	}
	nobody := []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}
	d := under(nobody...)
	d.finds("runtime_roots", "root_unreadable", w.root, "CAP_DAC_OVERRIDE")
	w.must(os.Chmod(w.node.Dir(), 0o755))
	w.must(os.Chmod(w.root, 0o755))
	d = under(nobody...)
	d.finds("state_files", "state_file_unreadable", "sb", "permission denied")
	d.finds("permissions", "cannot_query", "65534")
	d = under(append(nobody, "--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override", "--bounding-set=-all,+dac_override")...)
	d.finds("permissions", "cannot_measure", "65534")
	d.finds("usage", "sentry_unreadable", "sb")
	d.lacks("permission_denied", "cannot_query")
	d = under(append(nobody, "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search", "--bounding-set=-all,+dac_read_search")...)
	d.finds("sandboxes", "permission_denied", "sb", "CAP_DAC_OVERRIDE")

	d = under("unshare", "--pid", "--fork", "--mount-proc")
	d.finds("pid_namespace", "other_pid_namespace", "sb", "hostPID: true")
	d = under("sh", "-c", `ulimit -n 64 && exec "$@"`, "sh")
	d.finds("file_descriptors", "low_file_limit", "may open 64 files", "LimitNOFILE=1024")
	// The limits of a user namespace are as good as those of a user.
	for limit, sysctl := range map[string]string{"inotify_instances": "fs.inotify.max_user_instances", "inotify_watches": "fs.inotify.max_user_watches"} {
		d = under("unshare", "--user", "--map-root-user", "sh", "-c", `echo 0 >/proc/sys/user/max_`+limit+` && exec "$@"`, "sh")
		d.finds("inotify", limit, sysctl)
	}
}

// TestDoctorAfterUpgrade: runsc is replaced under a sandbox, and the same release in another directory
// has its registration.
func TestDoctorAfterUpgrade(t *testing.T) {
	check := func(name string, install func(t *testing.T, dir string) (path string)) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			installed := install(t, dir)
			w := newWorldWith(t, runsc.Config{Runsc: installed, Program: sandlab})
			w.startSilent("sb", "idle")
			w.must(os.RemoveAll(dir))
			install(t, dir)
			d := diagnose(t, withPath(newProgram(t, w.doctorArgs()...), filepath.Dir(installed)))
			d.finds("runsc", "runsc_replaced", "sb")
			d.finds("sandboxes", "not_instrumented", "sb", "unpack the same release in another directory")

			w.startServer(w.serveArgs("--runsc", install(t, t.TempDir())))
			d = diagnose(t, withPath(newProgram(t, w.doctorArgs()...), t.TempDir()))
			d.finds("runsc", "runsc_replaced", "sb")
			d.lacks("not_instrumented", "registration_mismatch", "sandbox_not_served")
			w.kill("sb")
			reap() // the older runsc waits for zombies when it deletes a sandbox
		})
	}
	check("release", copyRelease)
	check("one program", func(t *testing.T, dir string) string {
		older, err := findOlder()
		if err != nil {
			runsctest.Unavailable(t, err)
		}
		path := filepath.Join(dir, "runsc")
		copyProgram(t, path, older)
		return path
	})
}

// TestDoctorOfFinalLogs: patterns and directories of final metrics logs.
func TestDoctorOfFinalLogs(t *testing.T) {
	w := newWorld(t)
	logs := filepath.Join(w.node.Dir(), "final")
	w.must(os.Mkdir(logs, 0o777))
	w.must(os.Chmod(logs, 0o777))
	start := func(id, pattern string) {
		c := w.container(id, "idle")
		c.Flags = []string{"--final-metrics-log=" + pattern}
		w.must(w.node.Run(w.ctx(), c))
	}
	start("bad", logs+"/all.log")
	d := w.doctor()
	d.finds("final_metrics_log", "final_log_pattern", logs+"/all.log", "add %ID%")
	d.finds("final_metrics_log", "final_log_writable", logs, "writable by everybody (mode 0777)")
	w.remove("bad")
	w.must(os.Chmod(logs, 0o755))
	start("good", logs+"/%ID%.log")
	s := w.startServer(w.serveArgs())
	d = w.doctor("--address", w.addr)
	d.finds("final_metrics_log", "final_log_unread", "--final-metrics-log '"+logs+"/%ID%.log'")
	d.lacks("final_log_pattern", "final_log_writable")
	s.signal(syscall.SIGTERM)
	s.wantEnd(soon, 0)
	s = w.startServer(w.serveArgs("--final-metrics-log", "/var/final/%ID%.log"))
	d = w.doctor("--address", w.addr)
	d.finds("final_metrics_log", "final_log_differs", "/var/final/%ID%.log", logs)
	s.signal(syscall.SIGTERM)
	s.wantEnd(soon, 0)
	w.startServer(w.serveArgs("--final-metrics-log", logs+"/%ID%.log"))
	d = w.doctor("--address", w.addr)
	d.lacks("final_log_unread", "final_log_differs", "final_log_missing", "final_log_pattern", "final_log_writable")
}

// TestDoctorOfLiteralFile: doctor finds the file of a release of runsc that does not replace %ID%.
func TestDoctorOfLiteralFile(t *testing.T) {
	older, err := findOlder()
	if err != nil {
		runsctest.Unavailable(t, err)
	}
	w := newWorldWith(t, runsc.Config{Runsc: older, Program: sandlab})
	pattern := filepath.Join(w.node.Dir(), "%ID%.log")
	start := func(id, kind string) {
		c := w.container(id, kind)
		c.Flags = []string{"--final-metrics-log=" + pattern}
		w.must(w.node.Run(w.ctx(), c))
	}
	start("ended", "exit")
	w.until(func() error {
		_, err := os.Stat(pattern)
		return err
	})
	start("sb", "idle")
	d := w.doctor()
	d.finds("final_metrics_log", "final_log_literal", pattern, "install a newer runsc")
	w.kill("sb")
	reap() // this runsc waits for zombies when it deletes a sandbox
}

// TestDoctorOfKubelet: a kubelet with the feature gate beside a server with cAdvisor's names. The
// kubelet is a shell with its command line.
func TestDoctorOfKubelet(t *testing.T) {
	w := newSimulatedWorld(t)
	if os.Geteuid() != 0 {
		runsctest.Unavailable(t, errors.New("needs root: kubelet runs as root"))
	}
	w.simulate(simulate.Spec{ID: "sb"})
	kubelet := exec.Command("/bin/sh")
	kubelet.Args = []string{"kubelet", "-c", "read line", "--config=/none", "--feature-gates=PodAndContainerStatsFromCRI=true"}
	input, err := kubelet.StdinPipe()
	w.must(err)
	w.must(kubelet.Start())
	t.Cleanup(func() {
		_ = input.Close()
		_ = kubelet.Wait()
	})
	for usage, doubles := range map[string]bool{"own": false, "cadvisor": true, "both": true} {
		s := w.startServer(w.serveArgs("--usage", usage))
		d := w.doctor("--address", w.addr)
		if doubles {
			d.finds("kubelet", "sums_double", "PodAndContainerStatsFromCRI=true in its command line", fmt.Sprintf("process %d", kubelet.Process.Pid), "--usage=own")
		} else {
			d.lacks("sums_double")
		}
		s.signal(syscall.SIGTERM)
		s.wantEnd(soon, 0)
	}
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
		if got := found.sandbox(id).RuntimeRoot; got != d.root() {
			t.Errorf("the runtime root is %s, want %s", got, d.root())
		}
		for _, c := range found.Checks {
			for _, f := range c.Findings {
				if f.Cause != "sandbox_not_served" && slices.Contains(f.Sandboxes, id) {
					t.Errorf("%s: %s", f.Cause, f.What)
				}
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
	found.finds("servers", "sandbox_not_served", id, "add --root "+d.root()+" to the server")
	s.signal(syscall.SIGTERM)
	s.wantEnd(soon, 0)
	serve(d.root())
	found = examine()
	if s := found.sandbox(id); s.QueryStatus != "ok" || !slices.ContainsFunc(s.OnServers, func(on onServer) bool { return on.Served && on.Address == d.addr }) {
		t.Errorf("%+v", s)
	}
}
