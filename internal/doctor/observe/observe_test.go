package observe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/doctor"
	"github.com/sandmeter/sandmeter/internal/roots"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/metricserver"
)

// TestSandboxes: the result of each sandbox is that of the collector.
func TestSandboxes(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "good", Pod: "web\x1b[31m", Namespace: "shop"})
	w.start(simulate.Spec{ID: "broken", PID: os.Getppid()})
	w.start(simulate.Spec{ID: "ended", PID: -1})
	w.start(simulate.Spec{ID: "liar", Behavior: simulate.Say("{}")})
	w.must(os.WriteFile(filepath.Join(w.root, "torn_sandbox:torn.state"), []byte("{"), 0o600))
	w.options.Roots = []string{w.root}
	o := w.observe()
	var got []string
	for _, s := range o.Sandboxes {
		got = append(got, fmt.Sprintf("%s %t %s %s", s.ID, s.Running, s.Status, s.Reason))
		if s.Status == doctor.StatusFailed && s.Detail == "" || s.Root != w.root || s.Iteration == "" || s.MetricServer == "" {
			t.Errorf("%+v", s)
		}
	}
	want := []string{"broken true failed wrong_peer", "ended false not_running ", "good true ok ", "liar true failed reply_refused"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if good := o.Sandboxes[2]; good.Pod != "web\x1b[31m" || good.Namespace != "shop" || good.Version == "" {
		t.Errorf("%+v", good)
	}
	if files := o.Roots[0].Files; len(files) != 1 || files[0].Name != "torn_sandbox:torn.state" || files[0].Err == "" {
		t.Errorf("%+v", files)
	}
	if len(o.Log) == 0 || !strings.Contains(strings.Join(o.Log, "\n"), "sandbox=broken") {
		t.Errorf("the log is %q", o.Log)
	}
	w.wants(o, "sandboxes/wrong_peer")
	w.wants(o, "sandboxes/reply_refused")
	w.wants(o, "state_files/state_file_unreadable")
	w.wants(o, "servers/no_server")
	w.wants(o, "registrations/no_registration_source")
}

// TestRoots: which runtime roots are found, and which of them are examined.
func TestRoots(t *testing.T) {
	needsRoot(t, "to give directories to other users")
	w := newWorld(t)
	path := func(name string) string { return filepath.Join(w.dir, name) }
	for _, name := range []string{"usual/a", "usual/b", "process", "open", "foreign/root", "server"} {
		w.must(os.MkdirAll(path(name), 0o755))
	}
	w.must(os.WriteFile(path("process/a_sandbox:a.state"), []byte("{"), 0o600))
	w.must(os.Chmod(path("open"), 0o777))
	w.must(os.Chown(path("foreign"), 1000, 1000))
	w.must(os.Symlink(path("usual/a"), path("link")))
	w.options.UsualRoots = []string{path("usual/*"), path("missing")}
	w.process(10, "runsc-sandbox --root="+path("process")+" --platform=systrap boot --bundle=/b a")
	w.process(11, "runsc-sandbox --root="+path("open")+" boot a")
	w.process(12, "runsc-gofer --root="+path("foreign/root")+" gofer a")
	w.process(13, "runsc-sandbox --root="+path("link")+" boot a")
	w.process(14, "runsc-sandbox --root="+path("gone")+" boot a")
	w.must(os.Mkdir(path("target"), 0o755))
	w.must(os.Symlink(path("target"), path("foreign/link")))
	w.process(17, "runsc-sandbox --root="+path("foreign/link")+" boot a")
	w.process(15, "runsc-sandbox --root=relative boot a")
	w.process(16, "cat --root="+path("open"))
	w.process(18, "runsc-sandbox --root="+path("*/root/*/root")+" boot a")
	w.process(19, "runsc-sandbox --root="+path("foreign/*")+" boot a")
	w.process(20, "sandmeter serve")
	w.options.ParseServer = func(args []string, _ func(string) string) (doctor.Settings, bool, error) {
		return doctor.Settings{Command: "serve", Roots: []string{path("server"), path("usual/*")}}, args[0] == "sandmeter", nil
	}
	want := []string{
		"/*/root/*/root process 18 it has wildcards in more than its last part",
		"/foreign/* process 19 /foreign belongs to user 1000",
		"/foreign/link process 17 /foreign belongs to user 1000",
		"/foreign/root process 12 /foreign belongs to user 1000",
		"/gone process 14 missing",
		"/open process 11 /open is writable by everybody (mode 0777)",
		"/process process 10 examined",
		"/server server 20 examined",
		"/usual/a usual 0 examined",
		"/usual/b usual 0 examined",
	}
	if got := w.rootStates(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	w.options.Roots = []string{path("open"), path("missing")}
	if got, want := w.rootStates(), []string{"/missing flag 0 missing", "/open flag 0 examined"}; !slices.Equal(got, want) {
		t.Errorf("with --root, %q, want %q", got, want)
	}
}

// rootStates returns the runtime roots of an observation as "path origin PID state", sorted.
func (w *world) rootStates() (roots []string) {
	w.Helper()
	for _, r := range w.observe().Roots {
		state := "examined"
		switch {
		case r.Untrusted != "":
			state = strings.ReplaceAll(r.Untrusted, w.dir, "")
		case r.Missing:
			state = "missing"
		}
		roots = append(roots, fmt.Sprintf("%s %s %d %s", strings.TrimPrefix(r.Path, w.dir), r.Origin, r.PID, state))
	}
	slices.Sort(roots)
	return roots
}

// TestTooManyRoots: of runtime roots with sandboxes, those are left out that a server leaves out. Empty
// ones do not matter.
func TestTooManyRoots(t *testing.T) {
	w := newWorld(t)
	const empty = "a%03d"
	for i := range roots.MaxRoots + 1 {
		w.must(os.Mkdir(filepath.Join(w.root, fmt.Sprintf(empty, i)), 0o755))
	}
	w.options.Roots = []string{w.root + "/*"}
	o := w.observe()
	if len(o.Roots) != roots.MaxRoots || slices.Contains(causes(o), "runtime_roots/too_many_roots") {
		t.Errorf("%d roots, %q", len(o.Roots), causes(o))
	}
	last := ""
	for i := range roots.MaxRoots + 1 {
		last = filepath.Join(w.root, fmt.Sprintf("b%03d", i))
		w.must(os.Mkdir(last, 0o755))
		w.must(os.WriteFile(filepath.Join(last, "a_sandbox:a.state"), nil, 0o600))
	}
	o = w.observe()
	for _, r := range o.Roots {
		if r.LeftOut != (r.Path == last) {
			t.Errorf("%+v", r)
		}
	}
	w.wants(o, "runtime_roots/too_many_roots")
}

// TestRootsOfOthers: directories of root in command lines of other users are not examined unless
// they have sandboxes, and take no place of a runtime root. Findings about them are few.
func TestRootsOfOthers(t *testing.T) {
	w := newWorld(t)
	other := [4]int{65534, 65534, 65534, 65534}
	for i := range 2 * roots.MaxRoots {
		dir := filepath.Join(w.dir, "doc", fmt.Sprint("package", i))
		w.must(os.MkdirAll(dir, 0o755))
		w.processOf(other, noPID+1000+i, "runsc --root="+dir+" x")
		w.processOf(other, noPID+2000+i, fmt.Sprintf("runsc --root=%s/none%d x", w.dir, i))
	}
	w.processOf(other, 10, "runsc --root="+w.dir+"/doc/* x")
	w.processOf(other, noPID+5000, "runsc-sandbox --root="+w.root+" boot a")
	w.must(os.Symlink(w.root, filepath.Join(w.dir, "same")))
	w.processOf(other, noPID+5001, "runsc-sandbox --root="+w.dir+"/same boot a")
	w.start(simulate.Spec{ID: "a"})
	o := w.observe()
	n := node{observed: o}
	if got := n.examinedRoots(); !slices.Equal(got, []string{w.root}) || len(o.Sandboxes) != 1 {
		t.Errorf("%q are examined, with %d sandboxes", got, len(o.Sandboxes))
	}
	got := slices.DeleteFunc(causes(o), func(cause string) bool { return !strings.HasPrefix(cause, "runtime_roots/") })
	if len(got) == 0 || len(got) > 6 || slices.Contains(got, "runtime_roots/too_many_roots") {
		t.Errorf("the causes are %q", got)
	}
}

// TestUnreadableRoot: a root that is a file is unreadable, alone and beside others.
func TestUnreadableRoot(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(w.dir, "file")
	w.must(os.WriteFile(file, nil, 0o644))
	for _, roots := range [][]string{{file}, {file, w.root}} {
		w.options.Roots = roots
		w.wants(w.observe(), "runtime_roots/root_unreadable")
	}
}

// TestProcess: what the kernel tells about this process and about one of another user.
func TestProcess(t *testing.T) {
	w := newWorld(t)
	own := w.observe().Self
	var limit unix.Rlimit
	w.must(unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	if !own.Known || own.UID != os.Geteuid() || own.OpenFiles != limit.Cur || own.PIDNamespace == 0 || own.Replaced || own.PID != os.Getpid() {
		t.Errorf("%+v", own)
	}
	w.write("proc/30/status", "Name:\tx\nUid:\t1000\t65532\t0\t0\nCapEff:\t0000000000080002\n")
	w.write("proc/30/limits", "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            256                  1024                 files     \n")
	w.must(os.Symlink("/usr/bin/sandmeter (deleted)", filepath.Join(w.host, "proc/30/exe")))
	w.must(os.MkdirAll(filepath.Join(w.host, "proc/30/ns"), 0o755))
	w.must(os.Symlink("pid:[4026531836]", filepath.Join(w.host, "proc/30/ns/pid")))
	n := &node{Options: w.options}
	want := doctor.Process{PID: 30, Known: true, UID: 65532, Capabilities: 1<<1 | 1<<19, PIDNamespace: 4026531836, OpenFiles: 256, Replaced: true}
	if got := n.process(30); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := n.process(31); got.Known {
		t.Errorf("%+v is not there", got)
	}
}

// TestRunsc: what the command line of a sandbox's process, and its program, tell.
func TestRunsc(t *testing.T) {
	w := newWorld(t)
	w.process(10, "runsc-sandbox --root=/x --final-metrics-log=/var/%ID%.log boot --final-metrics-log=/y a")
	w.process(11, "runsc-sandbox --final-metrics-log=/a -final-metrics-log=/b boot a")
	w.process(12, "runsc-gofer --final-metrics-log=/c gofer z")
	w.process(13, "runsc")
	w.process(14, "runsc-sandbox --root=/z boot b")
	w.process(15, "runsc-sandbox --root=/z boot c")
	w.process(16, "runsc-gofer --root=/z gofer c")
	w.process(17, "gvisor-sentry-prewarmer /opt/gvisor-bin/gvisor_sentry runsc-sandbox --root=/z boot d")
	w.write("proc/16/status", "Uid:\t0\t0\t0\t0\n")
	w.program(10, "/usr/bin/runsc (deleted)")
	w.program(14, "/opt/gvisor-bin/gvisor_sentry")
	w.program(15, "/elsewhere/gvisor_sentry")
	w.program(16, "/opt/runsc-7")
	want := []doctor.Runsc{{PID: 10, FinalMetricsLog: "/var/%ID%.log", Program: "/usr/bin/runsc (deleted)", Replaced: true},
		{PID: 11, FinalMetricsLog: "/b", Program: "runsc-sandbox"},
		{PID: 14, Program: "/opt/runsc"}, {PID: 15, Program: "/opt/runsc-7"}}
	if got := w.observe().Runscs; !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestConfigurations: the settings of Docker and of the shim.
func TestConfigurations(t *testing.T) {
	w := newWorld(t)
	w.write("etc/docker/daemon.json", `{"runtimes": {"runsc": {"path": "/opt/runsc", "runtimeArgs": ["--final-metrics-log", "/var/final.log", "--metric-server=/run/m.sock"]}}}`)
	w.write("etc/containerd/runsc.toml", "[runsc_config]\n  final-metrics-log = \"/var/%ID%.log\"\n")
	o := w.observe()
	want := []doctor.Runtime{{File: "/etc/docker/daemon.json", FinalMetricsLog: "/var/final.log", MetricServer: "/run/m.sock"},
		{File: "/etc/containerd/runsc.toml", FinalMetricsLog: "/var/%ID%.log"}}
	if !slices.Equal(o.Runtimes, want) || len(o.Programs) != 0 { // the only one does not exist
		t.Errorf("%+v and %q, want %+v", o.Runtimes, o.Programs, want)
	}
	w.wants(o, "final_metrics_log/final_log_pattern")
	program, err := os.ReadFile("/bin/true")
	w.must(err)
	w.write("opt/nvidia-container-runtime", string(program))
	w.write("opt/runsc-script", "#!/bin/sh\n")
	w.write("opt/runsc", string(program))
	for _, name := range []string{"opt/nvidia-container-runtime", "opt/runsc-script", "opt/runsc"} {
		w.must(os.Chmod(filepath.Join(w.host, name), 0o755))
	}
	w.write("etc/docker/daemon.json", `{"runtimes": {"a": {"path": "/opt/nvidia-container-runtime"}, "b": {"path": "/opt/runsc-script"}, "c": {"path": "/opt/runsc"}}}`)
	if o := w.observe(); !slices.Equal(o.Programs, []string{filepath.Join(w.host, "opt/runsc")}) {
		t.Errorf("programs that can tell registrations: %q", o.Programs)
	}
	w.write("etc/docker/daemon.json", "{")
	w.wants(w.observe(), "completeness/incomplete")
}

// TestFinalLogs: who can write the directory of final metrics logs.
func TestFinalLogs(t *testing.T) {
	needsRoot(t, "to give directories to other users")
	w := newWorld(t)
	dir := filepath.Join(w.dir, "final")
	w.must(os.MkdirAll(filepath.Join(dir, "logs"), 0o755))
	w.write("etc/docker/daemon.json", `{"runtimes": {"runsc": {"path": "/opt/runsc", "runtimeArgs": ["--final-metrics-log=`+dir+`/logs/%ID%/x.log"]}}}`)
	check := func(name string, mode os.FileMode, user, group int, want string) {
		t.Helper()
		w.must(os.Chown(dir, user, group))
		w.must(os.Chmod(dir, mode))
		got := w.observe().FinalLogs
		if len(got) != 1 || got[0].Dir != dir+"/logs" || strings.ReplaceAll(got[0].Writers, dir, "DIR") != want {
			t.Errorf("%s: %+v, want %q", name, got, want)
		}
	}
	check("root only", 0o755, 0, 0, "")
	check("root's group", 0o775, 0, 0, "")
	check("a parent for everybody", 0o777, 0, 0, "DIR is writable by everybody (mode 0777)")
	check("a parent for everybody, with the sticky bit", 0o777|os.ModeSticky, 0, 0, "")
	check("a parent for a group", 0o775, 0, 1000, "DIR is writable by group 1000 (mode 0775)")
	check("a parent of a user", 0o755, 1000, 0, "DIR belongs to user 1000")
	w.must(os.Chown(dir, 0, 0))
	w.must(os.Chmod(filepath.Join(dir, "logs"), 0o777|os.ModeSticky))
	check("the directory for everybody, with the sticky bit", 0o755, 0, 0, "DIR/logs is writable by everybody (mode 0777)")
	w.wants(w.observe(), "final_metrics_log/final_log_writable")
}

// TestLiteralFile: a file of a runsc that does not replace placeholders.
func TestLiteralFile(t *testing.T) {
	w := newWorld(t)
	name := func(name string) string { return filepath.Join(w.dir, name) }
	for _, file := range []string{"%ID%.log", "%CID%.boot", "plain.log"} {
		w.must(os.WriteFile(name(file), nil, 0o600))
	}
	w.must(os.Mkdir(name("%ID%"), 0o755))
	for pattern, want := range map[string]string{"%ID%.log": "%ID%.log", "%CID%.%COMMAND%": "%CID%.boot", "plain.log": "", "%ID%.other": "", "%ID%": "", "%ID%/x.log": ""} {
		if got := strings.TrimPrefix(literalFile(name(pattern)), w.dir+"/"); got != want {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
	w.write("etc/containerd/runsc.toml", "[runsc_config]\n  final-metrics-log = \""+name("%ID%.log")+"\"\n")
	w.wants(w.observe(), "final_metrics_log/final_log_literal")
}

// TestKubelet: where kubelet's feature gates are set, and which setting wins.
func TestKubelet(t *testing.T) {
	needsRoot(t, "kubelet runs as root")
	check := func(name, commandLine string, files map[string]string, want doctor.Kubelet) {
		t.Helper()
		w := newWorld(t)
		w.process(90, commandLine)
		for path, text := range files {
			w.write(path, text)
		}
		want.PID = 90
		if got := w.observe().Kubelets; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	const file = "/var/lib/kubelet/config.yaml"
	const gate = "PodAndContainerStatsFromCRI"
	on := func(text string) map[string]string { return map[string]string{file: text} }
	with := func(k doctor.Kubelet) doctor.Kubelet { k.File = file; return k }
	check("no settings", "/usr/bin/kubelet", nil, doctor.Kubelet{})
	check("a flag", "kubelet --feature-gates=A=true,"+gate+"=true", nil, doctor.Kubelet{StatsFromCRI: true, SetBy: gate + "=true in its command line"})
	check("a flag of two words", "kubelet --feature-gates "+gate+"=true", nil, doctor.Kubelet{StatsFromCRI: true, SetBy: gate + "=true in its command line"})
	check("a file", "kubelet --config="+file, on("featureGates:\n  "+gate+": true\n"), with(doctor.Kubelet{StatsFromCRI: true, SetBy: gate + "=true in " + file}))
	check("a file without the gate", "kubelet --config="+file, on("featureGates: {KeepMe: true}\n"), with(doctor.Kubelet{}))
	check("a flag against a file", "kubelet --feature-gates="+gate+"=false --config="+file, on("featureGates: {"+gate+": true}"), with(doctor.Kubelet{}))
	check("all alpha gates", "kubelet --config="+file, on("featureGates: {AllAlpha: true}"), with(doctor.Kubelet{StatsFromCRI: true, SetBy: "AllAlpha=true in " + file}))
	check("all alpha gates but this", "kubelet --config="+file, on("featureGates: {AllAlpha: true, "+gate+": false}"), with(doctor.Kubelet{}))
	check("a drop-in file", "kubelet --config="+file+" --config-dir=/etc/kubelet.d", map[string]string{file: "featureGates: {" + gate + ": false}", "/etc/kubelet.d/10-a.conf": "featureGates: {" + gate + ": true}"},
		doctor.Kubelet{File: "/etc/kubelet.d/10-a.conf", StatsFromCRI: true, SetBy: gate + "=true in /etc/kubelet.d/10-a.conf"})
	check("a missing file", "kubelet --config="+file, nil, with(doctor.Kubelet{Err: "kubelet's configuration file " + file + ": no such file or directory"}))
	check("a relative file", "kubelet --config=c.yaml", nil, doctor.Kubelet{File: "c.yaml", Err: "kubelet's configuration file c.yaml is relative"})

	w := newWorld(t)
	w.processOf([4]int{1000, 1000, 1000, 1000}, 91, "kubelet --feature-gates="+gate+"=true")
	w.processOf([4]int{1000, 0, 0, 0}, 92, "kubelet --feature-gates="+gate+"=true")
	if got := w.observe().Kubelets; len(got) != 0 {
		t.Errorf("a process of a user counts as kubelet: %+v", got)
	}
}

// TestKubeletInContainer: the files of a kubelet in a container are those that it sees, whatever
// links it has, and their text is not in errors.
func TestKubeletInContainer(t *testing.T) {
	needsRoot(t, "kubelet runs as root")
	w := newWorld(t)
	w.process(90, "kubelet --config=/etc/kubelet/config.yaml --config-dir=/etc/drop")
	const gate = "PodAndContainerStatsFromCRI"
	w.write("proc/90/root/real/config.yaml", "featureGates: {"+gate+": false}\n")
	w.write("proc/90/root/real/drop/10.conf", "featureGates: {"+gate+": true}\n")
	w.write("proc/90/root/real/drop/20.txt", "featureGates: {"+gate+": false}\n")
	w.write("proc/90/root/etc/kubelet/other", "")
	link := func(target, path string) {
		path = filepath.Join(w.host, "proc/90/root", path)
		w.must(os.RemoveAll(path))
		w.must(os.Symlink(target, path))
	}
	link("/real/config.yaml", "etc/kubelet/config.yaml")
	link("/../../../../real/drop", "etc/drop")
	if got := w.observe().Kubelets; len(got) != 1 || got[0].Err != "" || got[0].SetBy != gate+"=true in /etc/drop/10.conf" {
		t.Errorf("%+v", got)
	}
	secret := filepath.Join(w.dir, "secret")
	w.must(os.WriteFile(secret, []byte("featureGates: {A: password}\n"), 0o600))
	link("/none", "etc/drop")
	link(secret, "etc/kubelet/config.yaml")
	if got := w.observe().Kubelets; len(got) != 1 || !strings.HasSuffix(got[0].Err, "no such file or directory") {
		t.Errorf("a link to a file of the host: %+v", got)
	}
	w.write("proc/90/root/real/config.yaml", "featureGates: {A: password}\n")
	link("/real/config.yaml", "etc/kubelet/config.yaml")
	if got := w.observe().Kubelets; len(got) != 1 || got[0].Err == "" || strings.Contains(got[0].Err, "password") {
		t.Errorf("a file that is no configuration: %+v", got)
	}
}

// TestServers: what servers serve, with and without the JSON API, and why others do not tell.
func TestServers(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "a"})
	w.start(simulate.Spec{ID: "b", MetricServer: "/run/other.sock"})
	w.start(simulate.Spec{ID: "c", PID: os.Getppid()})
	address := filepath.Join(w.dir, "socket")
	serve := func(o metricserver.Options) doctor.Server {
		t.Helper()
		o.Roots, o.Addresses = []string{w.root}, []string{address}
		stop := w.serve(o)
		defer stop()
		w.options.Address, w.options.Given = address, true
		return w.observe().Servers[0]
	}
	for _, o := range []metricserver.Options{{}, {DropIn: true, Usage: metricserver.UsageOff}} {
		s := serve(o)
		var got []string
		for _, served := range s.Sandboxes {
			got = append(got, served.ID+" "+served.Status+" "+served.Reason)
			if served.Iteration == "" {
				t.Errorf("%+v", served)
			}
		}
		if want := []string{"a ok ", "b ok ", "c failed wrong_peer"}; s.Err != "" || !s.Given || !slices.Equal(got, want) {
			t.Errorf("drop-in %t: %q, want %q; %+v", o.DropIn, got, want, s)
		}
	}
	if got := w.observe().Servers; len(got) != 1 || !got[0].Missing || got[0].Err == "" {
		t.Errorf("after the end of the server: %+v", got)
	}
}

// TestServerSelects: a server that serves some sandboxes only is compared, and its settings are
// those of its process.
func TestServerSelects(t *testing.T) {
	w := newWorld(t)
	address := filepath.Join(w.dir, "socket")
	w.start(simulate.Spec{ID: "own", MetricServer: address})
	w.start(simulate.Spec{ID: "other", MetricServer: "/run/other.sock", Root: simulate.Container{CreatedAt: time.Now().Add(-time.Minute)}})
	defer w.serve(metricserver.Options{Roots: []string{w.root}, Addresses: []string{address}, MatchAddress: address})()
	w.process(80, "sandmeter serve")
	w.options.Roots = []string{w.root}
	settings := doctor.Settings{Command: "serve", Roots: []string{w.root}, Addresses: []string{address}, MatchAddress: address}
	w.options.ParseServer = func(args []string, _ func(string) string) (doctor.Settings, bool, error) {
		return settings, args[0] == "sandmeter", nil
	}
	report := doctor.Examine(w.observe())
	for _, f := range report.Results[0].Findings {
		if f.Cause == "sandbox_not_served" && slices.Equal(f.Sandboxes, []string{"other"}) && strings.Contains(f.Why, "process 80 serves only sandboxes that were created with --metric-server="+address) {
			return
		}
	}
	t.Errorf("%+v", report.Results[0])
}

// TestRootsByOtherPaths: a server serves a runtime root whichever path it has for the directory.
func TestRootsByOtherPaths(t *testing.T) {
	w := newWorld(t)
	w.must(os.MkdirAll(filepath.Join(w.dir, "parent", "r"), 0o755))
	w.must(os.Symlink(filepath.Join(w.dir, "parent"), filepath.Join(w.dir, "link")))
	w.root = filepath.Join(w.dir, "parent", "r")
	w.start(simulate.Spec{ID: "a", Root: simulate.Container{CreatedAt: time.Now().Add(-time.Minute)}})
	other := filepath.Join(w.dir, "other")
	w.must(os.Mkdir(other, 0o755))
	address := filepath.Join(w.dir, "socket")
	defer w.serve(metricserver.Options{Roots: []string{other}, Addresses: []string{address}})()
	w.options.Roots, w.options.Address = []string{w.root}, address
	for configured, serves := range map[string]bool{"link/r": true, "link/*": true, "parent/../link/r": true, "parent/r": true, "other": false, "link/x*": false} {
		w.options.ParseServer = func(args []string, _ func(string) string) (doctor.Settings, bool, error) {
			settings := doctor.Settings{Command: "serve", Roots: []string{other}, Addresses: []string{address}}
			if args[0] == "silent" { // one that does not reply
				settings.Roots, settings.Addresses = []string{filepath.Join(w.dir, configured)}, []string{filepath.Join(w.dir, "none")}
			}
			return settings, true, nil
		}
		w.process(80, "sandmeter serve")
		w.process(81, "silent")
		o := w.observe()
		isMissed := slices.Contains(causes(o), "servers/sandbox_not_served")
		if silent := o.Servers[1].Settings; silent.Has(w.root) != serves || isMissed == serves {
			t.Errorf("%s: it has the root: %t; the sandbox counts as not served: %t", configured, silent.Has(w.root), isMissed)
		}
	}
}

// TestAddresses: an address of a process and one of the options may be the same server's.
func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"localhost:19640", ":19640", true},
		{"localhost:19640", "127.0.0.1:19640", true},
		{"0.0.0.0:19640", "localhost:19640", true},
		{"[::]:19640", "localhost:19640", true},
		{"10.0.0.7:19640", "localhost:19640", false},
		{"localhost:19641", "localhost:19640", false},
		{"/run/a", "/run/a", true},
		{"/run/runsc/../a", "/run/a", true},
		{"/run/a", "/run/b", false},
	} {
		if got := sameAddress(c.a, c.b); got != c.same {
			t.Errorf("%s and %s: %t", c.a, c.b, got)
		}
	}
	n := &node{Options: Options{Address: "localhost:19640", Given: true}, observed: &doctor.Observed{Servers: []doctor.Server{
		{PID: 1, Settings: doctor.Settings{Addresses: []string{":19640"}}}, {PID: 2, Settings: doctor.Settings{Roots: []string{"/r"}, Addresses: []string{"%RUNTIME_ROOT%/s"}}}}}}
	n.addressServers()
	s := n.observed.Servers
	if len(s) != 1 || s[0].Address != "localhost:19640" || !s[0].Given || s[0].PID != 1 {
		t.Errorf("%+v", s)
	}
	n = &node{Options: Options{Address: "localhost:19640"}, observed: &doctor.Observed{Servers: []doctor.Server{
		{PID: 2, Settings: doctor.Settings{Roots: []string{"/r"}, Addresses: []string{"%RUNTIME_ROOT%/s"}}}}}}
	n.addressServers()
	s = n.observed.Servers
	if len(s) != 2 || s[0].Address != "/r/s" || s[1].Address != "localhost:19640" || s[0].Given || s[1].Given {
		t.Errorf("%+v", s)
	}
}

// TestLookAgain: a sandbox that has ended since it was queried does not count as running.
func TestLookAgain(t *testing.T) {
	w := newWorld(t)
	w.write("proc/10/stat", "10 (a) b) S 1 10 10 0 -1 4194560\n")
	w.write("proc/13/stat", "13 (runsc-sandbox) T 1 13 13 0 -1 4194560\n")
	n := &node{Options: w.options, observed: &doctor.Observed{Sandboxes: []doctor.Sandbox{
		{ID: "here", PID: 10, Running: true, Status: doctor.StatusOK},
		{ID: "gone", PID: 11, Running: true, Status: doctor.StatusFailed, Reason: "unreachable"},
		{ID: "elsewhere", PID: 0, Running: true, Status: doctor.StatusOK},
		{ID: "stopped", PID: 13, Running: true, Status: doctor.StatusFailed, Reason: "stalled"},
	}}}
	n.lookAgain()
	var running []string
	for _, s := range n.observed.Sandboxes {
		if s.Stopped != (s.ID == "stopped") {
			t.Errorf("%+v", s)
		}
		if s.Running {
			running = append(running, s.ID)
		}
	}
	if s := n.observed.Sandboxes[1]; !slices.Equal(running, []string{"here", "elsewhere", "stopped"}) || s.Status != doctor.StatusNotRunning || s.Reason != "" {
		t.Errorf("%q run; %+v", running, s)
	}
}

// TestHostileFiles: nothing is read of pipes and directories, and long files are cut off.
func TestHostileFiles(t *testing.T) {
	w := newWorld(t)
	pipe, long := filepath.Join(w.dir, "pipe"), filepath.Join(w.dir, "long")
	w.must(unix.Mkfifo(pipe, 0o644))
	w.must(os.WriteFile(long, make([]byte, maxFile+1), 0o644))
	for _, path := range []string{pipe, w.dir} {
		if data, err := readFile(path); err == nil || data != nil {
			t.Errorf("%s: %d bytes, %v", path, len(data), err)
		}
	}
	if data, err := readFile(long); err != nil || len(data) != maxFile {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

// TestCanceled: an observation that is cut short returns.
func TestCanceled(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "a"})
	w.options.Roots = []string{w.root}
	ctx, cancel := context.WithCancel(t.Context())
	w.options.Progress = func(what string) {
		if strings.HasPrefix(what, "Looking") {
			cancel()
		}
	}
	o := Node(ctx, w.options)
	if o.Failed == "" {
		t.Errorf("%+v", o)
	}
	w.wants(o, "completeness/sandboxes_not_examined")
}

// TestNoTimeForServers: if the time is over before servers are queried, that is not the fault of
// the servers.
func TestNoTimeForServers(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "a"})
	address := filepath.Join(w.dir, "socket")
	defer w.serve(metricserver.Options{Roots: []string{w.root}, Addresses: []string{address}})()
	w.options.Roots, w.options.Address = []string{w.root}, address
	for _, given := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		w.options.Given = given
		w.options.Progress = func(what string) {
			if strings.HasPrefix(what, "Asking") {
				cancel()
			}
		}
		o := Node(ctx, w.options)
		w.wants(o, "completeness/incomplete")
		if got := causes(o); slices.ContainsFunc(got, func(cause string) bool { return strings.HasPrefix(cause, "servers/") }) {
			t.Errorf("given %t: %q; %+v", given, got, o.Servers)
		}
		if s := o.Servers; len(s) != 1 || !s[0].Unasked {
			t.Errorf("given %t: %+v", given, s)
		}
	}
}

// TestService: the settings of the package's service, if no server runs.
func TestService(t *testing.T) {
	w := newWorld(t)
	w.options.CheckService = func(getenv func(string) string) (doctor.Settings, error) {
		if getenv("SANDMETER_USAGE") == "x" {
			return doctor.Settings{}, errors.New("choose another")
		}
		return doctor.Settings{Command: "serve", Roots: strings.Split(getenv("SANDMETER_ROOT"), ",")}, nil
	}
	if got := w.observe().Service; got != (doctor.Service{}) {
		t.Errorf("without a file: %+v", got)
	}
	w.write("etc/default/sandmeter", "# Settings\n; and more\n\nSANDMETER_ROOT=\""+w.root+","+w.dir+"/none/*\"\nSANDMETER_USAGE='own'\n")
	o := w.observe()
	if o.Service != (doctor.Service{File: serviceFile}) || len(o.Roots) != 1 || o.Roots[0].Path != w.root {
		t.Errorf("%+v, %+v", o.Service, o.Roots)
	}
	w.wants(o, "servers/no_server")
	w.write("etc/default/sandmeter", "SANDMETER_USAGE=x\n")
	o = w.observe()
	if o.Service.Err != "choose another" {
		t.Errorf("%+v", o.Service)
	}
	w.wants(o, "servers/service_settings")
	w.process(80, "sandmeter serve")
	w.options.ParseServer = func(args []string, _ func(string) string) (doctor.Settings, bool, error) {
		return doctor.Settings{Command: "serve"}, true, nil
	}
	if got := w.observe().Service; got != (doctor.Service{}) {
		t.Errorf("beside a server: %+v", got)
	}
}
