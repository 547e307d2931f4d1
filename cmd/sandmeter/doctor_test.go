package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/doctor"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// setDoctorHost makes doctor examine a host during a test whose only process is this one, and at
// whose usual address nothing listens.
func setDoctorHost(w *world) {
	w.Helper()
	host, address := doctorHost, doctorAddress
	doctorHost, doctorAddress = w.path("host"), w.path("none")
	w.Cleanup(func() { doctorHost, doctorAddress = host, address })
	w.must(os.MkdirAll(filepath.Join(doctorHost, "proc"), 0o755))
	for _, name := range []string{"self", fmt.Sprint(os.Getpid())} {
		w.must(os.Symlink("/proc/"+name, filepath.Join(doctorHost, "proc", name)))
	}
}

// process adds a process of this user to the host, with a command line whose words are separated by
// blanks and variables.
func (w *world) process(pid int, commandLine string, environment ...string) {
	w.Helper()
	dir := filepath.Join(doctorHost, "proc", fmt.Sprint(pid))
	w.must(os.MkdirAll(dir, 0o755))
	line := strings.ReplaceAll(w.placeholders().Replace(commandLine), " ", "\x00") + "\x00"
	w.must(os.WriteFile(filepath.Join(dir, "cmdline"), []byte(line), 0o644))
	w.must(os.WriteFile(filepath.Join(dir, "status"), fmt.Appendf(nil, "Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", os.Geteuid()), 0o644))
	program, _, _ := strings.Cut(commandLine, " ")
	w.must(os.Symlink(program, filepath.Join(dir, "exe")))
	w.must(os.WriteFile(filepath.Join(dir, "environ"), []byte(w.placeholders().Replace(strings.Join(environment, "\x00"))), 0o644))
}

// TestDoctor: what it says of a node with a server, as text and as JSON, and its exit status.
func TestDoctor(t *testing.T) {
	w := newWorld(t)
	setDoctorHost(w)
	setUsualRoots(t, w.root)
	w.start(simulate.Spec{ID: "good"})
	w.serve("serve --root {root} --web.listen-address {socket}")
	if code, out, errs := w.command("doctor --address {socket}"); code != cli.ExitOK || errs != "" ||
		!strings.Contains(out, "\nok       sandboxes          metrics of 1 running sandbox\n") || !strings.Contains(out, "\n0 problems, ") {
		t.Errorf("exits with %d and says\n%s%s", code, out, errs)
	}
	w.start(simulate.Spec{ID: "broken", PID: os.Getppid(), Pod: "web\x1b[31m", Namespace: "shop"})
	code, out, errs := w.command("doctor --address {socket}")
	if code != cli.ExitFail || errs != "" {
		t.Errorf("with a problem it exits with %d and says %s", code, errs)
	}
	contains(t, out, "\nproblem  sandboxes          metrics of 1 of 2 running sandboxes\n", "[wrong_peer]\n", `broken (shop/"web\x1b[31m")`, "\n1 problem, ")
	code, out, errs = w.command("doctor --json --root {root} --address {socket}")
	var document struct {
		Level     string
		Problems  int
		Checks    []struct{ Check, Level string }
		Sandboxes []struct {
			ID        string
			Pod       *string
			Reason    *string
			OnServers []struct {
				Address string
				Served  bool
				Reason  *string
			} `json:"on_servers"`
		}
		Servers []struct{ Address string }
	}
	if err := json.Unmarshal([]byte(out), &document); err != nil || code != cli.ExitFail || errs != "" {
		t.Fatalf("--json exits with %d and says\n%s%s: %v", code, out, errs, err)
	}
	if strings.Contains(out, "\x1b") {
		t.Errorf("--json has an escape sequence:\n%s", out)
	}
	broken := document.Sandboxes[0]
	if document.Level != "problem" || document.Problems != 1 || len(document.Checks) != len(doctor.Checks()) || broken.ID != "broken" || *broken.Pod != "web\x1b[31m" ||
		*broken.Reason != "wrong_peer" || len(broken.OnServers) != 1 || !broken.OnServers[0].Served || *broken.OnServers[0].Reason != "wrong_peer" ||
		document.Sandboxes[1].Reason != nil || document.Servers[0].Address != w.socket {
		t.Errorf("--json says\n%s", out)
	}
}

// TestDoctorComparesSettings: a server's settings are those of its command line and environment.
func TestDoctorComparesSettings(t *testing.T) {
	w := newWorld(t)
	setDoctorHost(w)
	setUsualRoots(t, w.root)
	created := simulate.Container{CreatedAt: time.Now().Add(-time.Minute)}
	w.start(simulate.Spec{ID: "a", Root: created})
	w.must(os.Mkdir(w.path("other"), 0o755))
	w.serve("serve --root {dir}/other --web.listen-address {socket}")
	w.process(80, "/usr/bin/sandmeter serve --web.listen-address={socket}", "SANDMETER_ROOT={dir}/other", "SANDMETER_USAGE=both")
	w.process(90, "kubelet --feature-gates=AllAlpha=true")
	code, out, _ := w.command("doctor")
	if code != cli.ExitFail {
		t.Errorf("exits with %d", code)
	}
	contains(t, out, "[sandbox_not_served]", w.placeholders().Replace("process 80 serves {dir}/other, and not {root}\n"), "add --root "+w.root+" to the server")
	if os.Geteuid() == 0 { // the owner of the kubelet
		contains(t, out, "[sums_double]", "--usage=both")
	}
}

// TestDoctorRoots: --root replaces the roots that are found otherwise, and SANDMETER_ROOT adds to
// them.
func TestDoctorRoots(t *testing.T) {
	w := newWorld(t)
	setDoctorHost(w)
	setUsualRoots(t, w.path("usual"))
	for _, name := range []string{"usual", "one", "two"} {
		w.must(os.Mkdir(w.path(name), 0o755))
	}
	check := func(line string, want ...string) {
		t.Helper()
		var document struct {
			Roots []struct{ Path string } `json:"runtime_roots"`
		}
		_, out, _ := w.command(line)
		w.must(json.Unmarshal([]byte(out), &document))
		var got []string
		for _, r := range document.Roots {
			got = append(got, strings.TrimPrefix(r.Path, w.dir+"/"))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	t.Setenv("XDG_RUNTIME_DIR", w.path("none"))
	check("doctor --json", "usual")
	check("doctor --json --root {dir}/one --root {dir}/t*", "one", "two")
	t.Setenv("SANDMETER_ROOT", w.path("one")+","+w.path("none/*")+","+w.path("missing"))
	check("doctor --json", "usual", "one")
	check("doctor --json --root {dir}/two", "two")
	w.must(os.MkdirAll(w.path("none/runsc"), 0o755))
	check("doctor --json", "usual", "none/runsc", "one")
}

func TestDoctorErrors(t *testing.T) {
	w := newWorld(t)
	setDoctorHost(w)
	w.fails("doctor --address nonsense", cli.ExitUsage, `--address "nonsense": missing port in address: give host:port, :port or the absolute path of a Unix socket`)
	w.fails("doctor one", cli.ExitUsage, `unknown command "one" for "sandmeter doctor"; try: sandmeter doctor --help`)
	if code, out, _ := w.command("doctor --address {dir}/none"); code != cli.ExitFail || !strings.Contains(out, "[server_unreachable]") {
		t.Errorf("an --address where nothing listens: exits with %d and says\n%s", code, out)
	}
	if code, out, _ := w.command("doctor --root {dir}/none"); code != cli.ExitFail || !strings.Contains(out, "[root_missing]") {
		t.Errorf("a --root that does not exist: exits with %d and says\n%s", code, out)
	}
}

// TestParseServer: which command lines are those of servers, and what their settings are.
func TestParseServer(t *testing.T) {
	check := func(line string, variables map[string]string, want string) {
		t.Helper()
		s, isServer, err := parseServer(strings.Fields(line), func(name string) string { return variables[name] })
		got := "no server"
		if isServer {
			got = fmt.Sprintf("%s %q at %q, %s", s.Command, s.Roots, s.Addresses, s.Usage)
			for _, more := range []string{s.MatchAddress, s.FinalMetricsLog, s.RegistrationFile, strings.Join(s.Runsc, ",")} {
				if more != "" {
					got += ", " + more
				}
			}
		}
		if err != nil {
			got += ": " + err.Error()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	check("sandmeter serve", nil, `serve ["/var/run/runsc"] at ["localhost:19640"], own`)
	check("/usr/bin/sandmeter serve --root /a --root /b/* --web.listen-address :80 --usage=both --final-metrics-log /f/%ID%", nil,
		`serve ["/a" "/b/*"] at [":80"], both, /f/%ID%`)
	check("sandmeter serve --registration /r --runsc /x --web.systemd-socket", nil, `serve ["/var/run/runsc"] at [], own, /r, /x`)
	check("sandmeter serve --root /a", map[string]string{"SANDMETER_ROOT": "/b", "SANDMETER_USAGE": "off"}, `serve ["/a"] at ["localhost:19640"], off`)
	check("sandmeter serve", map[string]string{"SANDMETER_ROOT": "/a,/b"}, `serve ["/a" "/b"] at ["localhost:19640"], own`)
	check("sandmeter serve", map[string]string{"SANDMETER_USAGE": "x"},
		`serve ["/var/run/runsc"] at ["localhost:19640"], own: environment variable SANDMETER_USAGE: invalid argument "x" for "--usage" flag: choose own, cadvisor, both or off`)
	check("runsc --root=/r --metric-server=/s --debug metric-server -exporter-prefix=x_", nil, `metric-server ["/r"] at ["/s"], off, /s`)
	check("runsc-metric-server --metric-server=:1337 metric-server", map[string]string{"SANDMETER_USAGE": "own"}, `metric-server ["/var/run/runsc"] at [":1337"], own, :1337`)
	check("sandmeter list", nil, "no server")
	check("sandmeter", nil, "no server")
	check("runsc --root=/r boot metric-server", nil, "no server")
	check("grep serve", nil, "no server")
	check("cat metric-server", nil, "no server")
}

// TestDoctorOfService: why the service of the package would not start.
func TestDoctorOfService(t *testing.T) {
	w := newWorld(t)
	setDoctorHost(w)
	setUsualRoots(t)
	t.Setenv("XDG_RUNTIME_DIR", w.path("none"))
	check := func(settings string, wantCode int, want ...string) {
		t.Helper()
		w.must(os.MkdirAll(filepath.Join(doctorHost, "etc/default"), 0o755))
		w.must(os.WriteFile(filepath.Join(doctorHost, "etc/default/sandmeter"), []byte(settings), 0o644))
		code, out, _ := w.command("doctor")
		if code != wantCode {
			t.Errorf("%s: exits with %d", settings, code)
		}
		contains(t, out, want...)
	}
	check("SANDMETER_ROOT="+w.root+"\n", cli.ExitOK, "[no_server]", "systemctl start sandmeter", "1 runtime root with 0 sandboxes")
	check("SANDMETER_USAGE=x\n", cli.ExitFail, "[service_settings]", "environment variable SANDMETER_USAGE: ", "/etc/default/sandmeter")
	check("SANDMETER_WEB_SOCKET_MODE=0600\n", cli.ExitFail, "[service_settings]", "--web.socket-mode and --web.socket-group are for a Unix socket")
}

// observedNode returns a node for texts: a pod that stalls, one that is fine, one whose server does
// not serve it, and one that has ended.
func observedNode() *doctor.Observed {
	const k8s, docker = "/run/containerd/runsc/k8s.io", "/var/run/docker/runtime-runc/moby"
	at := time.Date(2026, time.November, 30, 3, 0, 0, 0, time.UTC)
	sandbox := func(n int, root, pod, status, reason, detail string) doctor.Sandbox {
		s := doctor.Sandbox{ID: fmt.Sprintf("%d%063d", n, n), Iteration: "1", Root: root, Pod: pod, PID: 8000 + n, CreatedAt: at.Add(-time.Hour),
			Running: status != doctor.StatusNotRunning, Status: status, Reason: reason, Detail: detail, Version: "release-20261102.0"}
		if pod != "" {
			s.Namespace = "shop"
		}
		return s
	}
	o := &doctor.Observed{
		Time: at, Kernel: "6.18.0",
		Self: doctor.Process{PID: 70, Known: true, PIDNamespace: 0xEFFFFFFC, OpenFiles: 1024},
		Roots: []doctor.Root{{Path: k8s, Origin: doctor.Usual}, {Path: docker, Origin: doctor.OfProcess, PID: 8004},
			{Path: "/home/me/\x1b[2Jrunsc", Origin: doctor.OfProcess, PID: 99, Untrusted: "/home/me belongs to user 1000"}},
		Sandboxes: []doctor.Sandbox{
			sandbox(1, k8s, "cart-7f9c\x1b[2J", doctor.StatusFailed, "stalled", "the sandbox did not reply within 2s"),
			sandbox(2, k8s, "web-2c", doctor.StatusOK, "", ""),
			sandbox(3, k8s, "job-1", doctor.StatusNotRunning, "", ""),
			sandbox(4, docker, "", doctor.StatusOK, "", ""),
		},
		UntrustedServers: []doctor.UntrustedServer{{PID: 91, Why: "it runs as user 65534"}},
		Programs:         []string{"/usr/local/bin/runsc"},
		Kubelets:         []doctor.Kubelet{{PID: 90, File: "/var/lib/kubelet/config.yaml"}},
		Log:              []string{"level=WARN msg=\"Sandbox has no metrics\""},
	}
	served := func(i int, status, reason string) doctor.Served {
		return doctor.Served{ID: o.Sandboxes[i].ID, Iteration: "1", Root: k8s, Status: status, Reason: reason}
	}
	o.Servers = []doctor.Server{{Address: "localhost:19640", PID: 812, Process: doctor.Process{PID: 812, Known: true, PIDNamespace: 0xEFFFFFFC, OpenFiles: 256},
		Settings:  doctor.Settings{Command: "serve", Roots: []string{"/run/containerd/runsc/*"}, Usage: "own"},
		Sandboxes: []doctor.Served{served(0, doctor.StatusFailed, "stalled"), served(1, doctor.StatusOK, ""), served(2, doctor.StatusNotRunning, "")}}}
	return o
}

// TestDoctorText: the text on a terminal of 80 columns and in a file, and the document.
func TestDoctorText(t *testing.T) {
	o := observedNode()
	report := doctor.Examine(o)
	text := func(width int, colors bool) string {
		var out strings.Builder
		d := newDoctorText(&out)
		d.width, d.colors = width, colors
		if err := d.write(o, &report); err != nil {
			t.Error(err)
		}
		return out.String()
	}
	narrow := text(80, false)
	golden(t, "doctor.golden", narrow)
	golden(t, "doctor_wide.golden", text(0, false))
	for line := range strings.Lines(narrow) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 && strings.Contains(strings.TrimSpace(line), " ") {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	colored := text(80, true)
	for level, code := range map[string]string{"ok": "32", "warning": "33", "problem": "31;1"} {
		contains(t, colored, "\n\x1b["+code+"m"+level+"\x1b[0m ")
	}
	plain := strings.NewReplacer("\x1b[32m", "", "\x1b[33m", "", "\x1b[31;1m", "", "\x1b[0m", "").Replace(colored)
	if plain != narrow {
		t.Errorf("colors change the text:\n%s", colored)
	}
	var document strings.Builder
	if err := writeJSON(&document, documentOf(o, &report)); err != nil {
		t.Error(err)
	}
	golden(t, "doctor.json.golden", strings.Replace(document.String(), `"version": "`+programVersion()+`"`, `"version": "VERSION"`, 1))
	if strings.Contains(narrow+document.String(), "\x1b") {
		t.Error("an escape sequence is in the output")
	}
}

// TestDoctorOfManySandboxes: the table is short, and begins with sandboxes without metrics.
func TestDoctorOfManySandboxes(t *testing.T) {
	o := observedNode()
	first := o.Sandboxes[0]
	o.Sandboxes, o.Servers = nil, nil
	for i := range 100 {
		s := first
		s.ID = fmt.Sprintf("sandbox-%04d", i)
		if i < 90 {
			s.Status, s.Reason = doctor.StatusOK, ""
		}
		o.Sandboxes = append(o.Sandboxes, s)
	}
	report := doctor.Examine(o)
	var out strings.Builder
	if err := newDoctorText(&out).write(o, &report); err != nil {
		t.Error(err)
	}
	lines := strings.Split(out.String(), "\n")
	if !strings.HasPrefix(lines[1], "sandbox-0090 ") || !strings.HasPrefix(lines[10], "sandbox-0099 ") || !strings.HasPrefix(lines[11], "sandbox-0000 ") ||
		lines[maxSandboxRows+1] != "… and 80 more; --json has all" {
		t.Errorf("says\n%s", out.String())
	}
	contains(t, out.String(), "sandbox-0094 (shop/\"cart-7f9c\\x1b[2J\") and 5 more\n")
}
