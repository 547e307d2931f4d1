package e2e

import (
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/runsc"
	"github.com/sandmeter/sandmeter/metricclient"
)

// command runs the program to its end and returns its output. It fails the test if the program
// writes to standard error.
func (w *world) command(args ...string) string {
	w.t.Helper()
	p := newProgram(w.t, args...)
	p.exit(w.t, 0)
	if said := p.err.String(); said != "" {
		w.t.Errorf("%q says on standard error:\n%s", p.Args, said)
	}
	return p.out.String()
}

// fails runs the program and fails the test unless it exits with 1 and writes one line, the error,
// that matches want.
func (w *world) fails(want string, args ...string) {
	w.t.Helper()
	p := newProgram(w.t, args...)
	p.exit(w.t, 1)
	if said := p.err.String(); p.out.String() != "" || !regexp.MustCompile(`^sandmeter: .*`+want+`\n$`).MatchString(said) {
		w.t.Errorf("%q says\n%s%swant one line that matches %q", p.Args, &p.out, said, want)
	}
}

// text returns a regular expression that matches a text.
func text(s string) string { return regexp.QuoteMeta(s) }

func TestExport(t *testing.T) {
	w := newWorld(t)
	pod := runsc.Pod{Sandbox: "pre", Name: "a \"pod\"", Namespace: "shop"}
	add := w.pod(pod)
	add("pre", func(c *runsc.Container) { c.Args = []string{"workload", "touch", "10"} })
	add("app", func(*runsc.Container) {})
	w.start("pre1", "idle")
	w.start("paused", "idle")
	w.must(w.node.Pause(w.ctx(), "paused"))
	w.must(w.node.Create(w.ctx(), w.container("created", "idle")))
	w.serve()
	w.until(func() error { // no value changes any more
		if before, after := w.scrape(), w.scrape(); !maps.Equal(before.of("pre"), after.of("pre")) || after.of("pre")["runsc_fs_opens"] < 10 {
			return errNot("the workload has done what it does")
		}
		return nil
	})
	for _, id := range []string{"pre", "pre1", "paused", "created"} {
		page := parsePage(t, metricclient.MetricData(w.command("export", "--metric-naming", "runsc", "--root", w.root, id)))
		for line := range strings.Lines(string(page.raw)) {
			if !regexp.MustCompile(`^(# (HELP|TYPE) )?runsc_[a-z]`).MatchString(line) || strings.Contains(line, "runsc_meta_") {
				t.Errorf("export %s has a line that is none of the sandbox's:\n%s", id, line)
			}
		}
		for name := range page.families {
			for _, s := range page.find(name) {
				if s.labels["sandbox"] != id || s.labels["iteration"] != stateOf(w, id).iteration() {
					t.Errorf("export %s has %s of another sandbox: %v", id, name, s.labels)
				}
			}
		}
		// The server has the same values.
		if exported, served := page.of(id), w.scrape().of(id); len(exported) == 0 || !maps.Equal(exported, served) {
			t.Errorf("export %s:\n%v\nthe server's page:\n%v", id, exported, served)
		}
	}
	// The ID of any container of a pod selects the pod, as in runsc export-metrics, and so does a
	// unique prefix.
	for _, id := range []string{"app", "ap"} {
		page := parsePage(t, metricclient.MetricData(w.command("export", "--metric-naming", "runsc", "--root", w.root, "--filter", "^fs_opens$", id)))
		if len(page.families) != 1 || len(page.find("runsc_fs_opens", "sandbox", "pre")) != 1 {
			t.Errorf("export %s:\n%s", id, page.raw)
		}
	}
	exported := parsePage(t, metricclient.MetricData(w.command("export", "--metric-naming", "runsc", "--root", w.root, "--exporter-prefix", "x_", "pre")))
	if len(exported.find("x_fs_opens", "pod_name", pod.Name, "namespace_name", "shop")) != 1 {
		t.Errorf("the pod's labels and the prefix:\n%s", exported.raw)
	}
}

// of returns the sums of the metrics that a sandbox reports, by family.
func (p page) of(id string) map[string]float64 {
	sums := map[string]float64{}
	for name := range p.families {
		if strings.HasPrefix(name, "runsc_meta_") || strings.HasPrefix(name, "sandmeter_") {
			continue
		}
		for _, s := range p.find(name, "sandbox", id) {
			sums[name] += s.value
		}
	}
	return sums
}

func TestExportOfASandboxThatHasNoMetrics(t *testing.T) {
	w := newDistrustedWorld(t)
	w.pod(runsc.Pod{Sandbox: "pod"})("pod", func(*runsc.Container) {})
	w.pod(runsc.Pod{Sandbox: "pod"})("app", func(*runsc.Container) {})
	silent := w.container("silent", "idle")
	silent.MetricServer = ""
	w.must(w.node.Run(w.ctx(), silent))
	w.start("killed", "idle")
	w.kill("killed")
	w.start("stopped", "idle")
	w.stopSandbox("stopped")
	root := w.root

	w.fails(`no sandbox "none" in runtime root `+text(root)+"; sandmeter list shows all sandboxes", "export", "--root", root, "none")
	w.fails(`ID "s" is ambiguous: it matches silent, stopped; give a longer prefix`, "export", "--root", root, "s")
	w.fails(`sandbox "silent": no metrics registered, and the runsc that started it is none of /nonexistent .*; name it with --runsc, .*`,
		"export", "--root", root, "--runsc", "/nonexistent", "silent")
	w.fails(`sandbox "killed": the sandbox has ended`, "export", "--root", root, "killed")
	w.fails(`sandbox "stopped": .*in time.*`, "export", "--root", root, "--sandbox-timeout", "200ms", "stopped")
	w.fails(`runtime root /nonexistent: no such file or directory.*`, "export", "--root", "/nonexistent", "pod")
}

func TestGet(t *testing.T) {
	w := newWorld(t)
	w.pod(runsc.Pod{Sandbox: "pre", Name: "a \"pod\"", Namespace: "shop"})("pre", func(c *runsc.Container) { c.Args = []string{"workload", "touch", "10"} })
	w.start("pre1", "touch", "20")
	w.startServer(w.serveArgs())
	w.untilBegun(2)
	w.until(func() error {
		if before, after := w.scrape(), w.scrape(); !maps.Equal(before.of("pre1"), after.of("pre1")) || !maps.Equal(before.of("pre"), after.of("pre")) {
			return errNot("the workloads have done what they do")
		}
		return nil
	})
	get := func(flags ...string) page {
		t.Helper()
		return parsePage(t, metricclient.MetricData(w.command(append([]string{"get", "--address", w.addr}, flags...)...)))
	}
	served := w.scrape()

	all := get()
	if got, want := all.withoutValues(), served.withoutValues(); !slices.Equal(got, want) {
		t.Errorf("get shows\n%s\nthe page is\n%s", strings.Join(got, ""), strings.Join(want, ""))
	}
	opens := get("--filter", "^fs_opens$")
	if got := opens.names(); !slices.Equal(got, []string{"runsc_fs_opens"}) || len(opens.find("runsc_fs_opens")) != 2 {
		t.Errorf("get --filter shows\n%s", opens.raw)
	}
	one := get("--sandbox", "pre")
	for _, name := range one.names() {
		if got := slices.Compact(one.labels(name, "sandbox")); !slices.Equal(got, []string{"pre"}) {
			t.Errorf("get --sandbox pre shows %s of %q", name, got)
		}
	}
	one.wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", "pre", "pod_name", `a "pod"`)
	if want := served.of("pre"); !maps.Equal(one.of("pre"), want) {
		t.Errorf("get --sandbox pre shows\n%v\nthe page has\n%v", one.of("pre"), want)
	}
	if meta := get("--filter", "^meta_num"); !slices.Contains(meta.names(), "runsc_meta_num_sandboxes_running") || len(meta.names()) != 7 {
		t.Errorf("get --filter ^meta_num shows %q", meta.names())
	}
	w.fails(`the server at .* does not serve sandbox "nobody"; .*`, "get", "--address", w.addr, "--sandbox", "nobody")
	w.fails(`no metric matches --filter .*`, "get", "--address", w.addr, "--filter", "^runsc_fs_opens$")
	w.fails("nothing listens.*", "get", "--address", filepath.Join(w.node.Dir(), "nobody.sock"))
}

func TestGetJSON(t *testing.T) {
	w := newWorld(t)
	w.pod(runsc.Pod{Sandbox: "pre", Name: "a \"pod\"", Namespace: "shop"})("pre", func(c *runsc.Container) { c.Args = []string{"workload", "touch", "10"} })
	w.start("pre1", "idle")
	w.startServer(w.metricServerArgs()) // its samples have times
	begin := time.Now().Add(-time.Second)
	type sample struct {
		Name      string
		Labels    map[string]string
		Value     string
		Timestamp time.Time
	}
	get := func(flags ...string) []sample {
		t.Helper()
		var samples []sample
		w.must(json.Unmarshal([]byte(w.command(append([]string{"get", "--address", w.addr, "--json"}, flags...)...)), &samples))
		return samples
	}
	var one []sample
	w.until(func() error {
		one = get("--filter", "^fs_opens$", "--sandbox", "pre")
		if len(one) != 1 || len(one[0].Value) < 2 {
			return errNot("the workload has opened ten files")
		}
		return nil
	})
	want := map[string]string{"sandbox": "pre", "iteration": stateOf(w, "pre").iteration(), "pod_name": `a "pod"`, "namespace_name": "shop"}
	if one[0].Name != "runsc_fs_opens" || !maps.Equal(one[0].Labels, want) {
		t.Errorf("get --filter --sandbox --json shows %+v", one)
	}
	if at := one[0].Timestamp; at.Before(begin) || at.After(time.Now().Add(time.Second)) {
		t.Errorf("its time is %v", at)
	}
	served, _ := w.scrape().value("runsc_fs_opens", "sandbox", "pre")
	if got, err := strconv.ParseFloat(one[0].Value, 64); err != nil || got != served {
		t.Errorf("its value is %q, %v; the server's %v", one[0].Value, err, served)
	}
	none := newProgram(t, "get", "--address", w.addr, "--json", "--sandbox", "nobody")
	none.exit(t, 1)
	if none.out.String() != "[]\n" || strings.Count(none.err.String(), "\n") != 1 {
		t.Errorf("get --json of a sandbox that does not exist shows %s%s", &none.out, &none.err)
	}
	if running := get("--filter", "^meta_sandbox_running$"); len(running) != 2 || running[0].Value != "1" || running[1].Value != "1" {
		t.Errorf("get --json of what runs shows %v", running)
	}
}

func TestHealth(t *testing.T) {
	w := newWorld(t)
	root := w.root
	health := func(addr string) []string { return []string{"health", "--address", addr, "--root", root} }
	otherRoot := []string{"health", "--address", w.addr, "--root", "/another/root"}

	// Nothing listens: without a socket, with the socket of a dead server, and at a free port.
	nobody := text("nothing listens: ") + ".*; start one with sandmeter serve, or give its address with --address"
	w.fails(nobody, health(w.addr)...)
	w.fails(nobody, health(freePort(t))...)
	dead := w.startServer(w.serveArgs())
	dead.signal(syscall.SIGKILL)
	dead.wantEnd(ample, -1)
	w.fails(nobody, health(w.addr)...)

	// A healthy server.
	w.startServer(w.serveArgs())
	if said := w.command(health(w.addr)...); !strings.Contains(said, w.addr) || !strings.Contains(said, root) || strings.Count(said, "\n") != 1 {
		t.Errorf("health says\n%s", said)
	}

	// A trailing slash makes no difference, neither on the client nor on the server.
	w.command("health", "--address", w.addr, "--root", root+"/")
	slash := filepath.Join(w.node.Dir(), "slash.sock")
	asWritten := startServer(t, []string{"--root=" + root + "/", "--metric-server=" + slash, "metric-server"})
	w.until(func() error { return metricclient.NewMetricClient(slash, root).HealthCheck(w.ctx()) })
	w.command(health(slash)...)
	asWritten.signal(syscall.SIGTERM)
	asWritten.wantEnd(ample, 0)

	// The server serves another root.
	w.fails("serves another root: "+text(root+", not /another/root; give its root with --root"), otherRoot...)

	// The server is shutting down. Sandmeter's closes its listeners then; this is the reply of
	// gVisor's.
	ending := w.web("ending.sock", func(r http.ResponseWriter, _ *http.Request) {
		http.Error(r, "server is shutting down", http.StatusServiceUnavailable)
	})
	w.fails("the metric server is shutting down; try again", health(ending)...)

	// Something else listens: a web server, a program that sends a greeting, and a regular file.
	someone := text("not a metric server") + ".*; give the address of the metric server with --address"
	w.fails(someone, health(w.web("web.sock", http.NotFound))...)
	rude := w.listen("rude.sock")
	go func() {
		if conn, err := rude.Accept(); err == nil {
			_, _ = io.WriteString(conn, "220 no web here\r\n")
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		}
	}()
	w.fails(someone, health(rude.Addr().String())...)
	w.fails(someone, health(sandmeter)...)
}

// web serves HTTP on a Unix socket in the node's directory until the test ends, and returns its
// path.
func (w *world) web(name string, reply http.HandlerFunc) (path string) {
	w.t.Helper()
	l := w.listen(name)
	server := &http.Server{Handler: reply}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l)
	}()
	w.t.Cleanup(func() {
		server.Close()
		<-ended
	})
	return l.Addr().String()
}

// listen listens on a Unix socket in the node's directory until the test ends.
func (w *world) listen(name string) net.Listener {
	w.t.Helper()
	l, err := net.Listen("unix", filepath.Join(w.node.Dir(), name))
	w.must(err)
	w.t.Cleanup(func() { l.Close() })
	return l
}

// The server accepts the connection of a health check, gets SIGTERM, and then gets the request: the
// error is that the server is shutting down or that nothing listens, and never that it is not a
// metric server.
func TestHealthCheckCutOffByAShutdown(t *testing.T) {
	w := newWorld(t)
	s := w.startServer(w.serveArgs())
	before, err := net.Dial("unix", w.addr)
	w.must(err)
	defer before.Close()
	relay := w.listen("relay.sock")
	relayed := make(chan error, 1)
	go func() { relayed <- relayTo(relay, before) }()
	w.must(w.client.HealthCheck(w.ctx())) // by now the server has accepted the connection
	told := time.Now()
	s.signal(syscall.SIGTERM)
	w.until(func() error {
		if err := w.client.HealthCheck(w.ctx()); err == nil {
			return errNot("the server has stopped listening")
		}
		return nil
	})
	// The server waits half a second. On a slow machine it may have ended already.
	if s.hasEnded() && time.Since(told) < 400*time.Millisecond {
		t.Fatalf("the server did not wait for the client that was connected; it said:\n%s", &s.err)
	}
	health := newProgram(t, "health", "--address", relay.Addr().String(), "--root", w.root)
	health.exit(t, 1)
	if said := health.err.String(); !regexp.MustCompile("is shutting down|nothing listens").MatchString(said) {
		t.Errorf("health says\n%s", said)
	}
	w.must(<-relayed)
	s.wantEnd(ample, 0)
}

// relayTo accepts one connection, the last one, and copies between it and another one until both
// are closed.
func relayTo(l net.Listener, server net.Conn) error {
	client, err := l.Accept()
	if err != nil {
		return err
	}
	l.Close()
	defer client.Close()
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(client, server)
		client.Close() // the server has closed the connection
		done <- err
	}()
	_, _ = io.Copy(server, client) // ends when client is closed
	return <-done
}

func TestListOfLives(t *testing.T) {
	w := newWorld(t)
	w.start("pre", "idle")
	w.start("pre1", "idle")
	w.start("killed", "idle")
	list := func() map[string]string {
		t.Helper()
		var sandboxes []struct{ ID, Iteration, State string }
		w.must(json.Unmarshal([]byte(w.command("list", "--json", "--root", w.root)), &sandboxes))
		states := map[string]string{}
		for _, s := range sandboxes {
			states[s.ID] = s.State
			if want := stateOf(w, s.ID).iteration(); s.Iteration != want {
				t.Errorf("the iteration of %s is %s, want %s", s.ID, s.Iteration, want)
			}
		}
		return states
	}
	f := func(want map[string]string) {
		t.Helper()
		if got := list(); !maps.Equal(got, want) {
			t.Errorf("list shows %v, want %v", got, want)
		}
	}
	f(map[string]string{"pre": "running", "pre1": "running", "killed": "running"})
	pid := w.kill("killed")
	w.must(w.node.Pause(w.ctx(), "pre1"))
	f(map[string]string{"pre": "running", "pre1": "paused", "killed": "stopped"})
	w.reaped(pid)
	f(map[string]string{"pre": "running", "pre1": "paused", "killed": "stopped"})
	w.must(w.node.Resume(w.ctx(), "pre1"))
	w.remove("killed", "pre1")
	f(map[string]string{"pre": "running"})
}

// A program that is not runsc looks like a machine that cannot run sandboxes: the demo reports both
// causes.
func TestDemoOfWhatIsNoRunsc(t *testing.T) {
	demo := newRun(t, sandlab, "demo", "--real", "--runsc", "/bin/false")
	demo.exit(t, 1)
	if said := demo.err.String(); !strings.HasSuffix(said, "; if /bin/false is not runsc, give the path of runsc with --runsc\n") {
		t.Errorf("demo says\n%s", said)
	}
}
