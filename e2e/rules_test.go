package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/runsc"
)

// ruled are two nodes with real sandboxes, and a Prometheus that scrapes their servers and evaluates
// the rules of mixin/. Alerts wait a second where users' wait minutes; the expressions are the same.
type ruled struct {
	east, west *world
	second     string // the other runtime root of east, a directory without sandboxes
	targets    string // the file with the targets of west, which are the only ones of their cluster
	westServer *server
	prometheus *peer
}

// TestRules: with healthy sandboxes every recording rule has values, and no alert waits or fires. Then
// things go wrong for real, and the alert about each fires.
func TestRules(t *testing.T) {
	t.Parallel()
	r := newRuled(t)
	r.untilRecorded()
	r.untilNone("ALERTS")

	goOn := r.east.stopSandbox(usageID("stalled"))
	r.untilFiring(`SandmeterSandboxStalled`, `job="east", reason="stalled"`)
	giveBack := r.east.takeSocket(usageID("taken"))
	r.untilFiring(`SandmeterReplyRefused`, `job="east", reason="wrong_peer"`)
	r.makeUnreadable()
	r.untilFiring(`SandmeterRuntimeRootUnreadable`, fmt.Sprintf(`job="east", runtime_root=%q`, r.second))
	for i := range 3 {
		r.east.kill(usageID(fmt.Sprint("killed-", i)))
	}
	r.untilFiring(`SandmeterSandboxesFailing`, `job="east", namespace_name="batch"`)
	r.runOutOfMemory()
	r.untilFiring(`SandmeterSandboxesOOMKilled`, `job="east"`)

	// Each of these has a registration of another build, and only one may have series.
	r.west.startSilent("one", "touch", "1")
	r.west.startSilent("two", "touch", "1")
	r.untilFiring(`SandmeterSandboxNotServed`, `job="west", reason="registration_mismatch"`)
	r.untilFiring(`SandmeterOverBudget`, `job="west", reason="series_limit"`)
	r.westServer.signal(syscall.SIGTERM)
	r.untilFiring(`SandmeterDown`, `job="west"`)
	r.untilFiring(`SandmeterAbsent`, `job="west", severity="critical"`)
	r.writeTargets()
	r.untilFiring(`SandmeterDown`, `job="west", instance="", severity="warning"`)
	r.untilNone(`ALERTS{alertname="SandmeterAbsent"}`)

	// What is repaired no longer fires.
	goOn()
	giveBack()
	r.untilNone(`ALERTS{alertname=~"SandmeterSandboxStalled|SandmeterReplyRefused"}`)
}

// TestRulesInAnOldPrometheus: Debian's Prometheus, which is years older than the one above, evaluates the
// rules too.
func TestRulesInAnOldPrometheus(t *testing.T) {
	t.Parallel()
	w := &world{t: t}
	p := &peer{peerProgram: peerProgram{name: "Debian's Prometheus", flags: prometheusFlags()}}
	path := findPeer(t, "bin/debian/prometheus")
	config, err := json.Marshal(map[string]any{"global": map[string]any{"evaluation_interval": "1s"}, "rule_files": ruleFiles(t)})
	w.must(err)
	for !p.begin(w, path, writeExample(t, config), filepath.Join(t.TempDir(), "data")) {
	}
	w.until(func() error {
		_, err := p.evaluated()
		return err
	})
}

func newRuled(t *testing.T) *ruled {
	dir := t.TempDir()
	r := &ruled{east: newWorld(t), west: newDistrustedWorld(t), second: filepath.Join(dir, "second"), targets: filepath.Join(dir, "targets.json")}
	r.east.must(os.Mkdir(r.second, 0o755))
	r.east.setAddr(freePort(t))
	r.west.setAddr(freePort(t))
	r.startEast()
	r.east.startServer(r.east.defaultArgs("--root", r.second, "--sandbox-timeout=200ms"))
	r.westServer = r.west.startProgram(withPath(newProgram(t, r.west.defaultArgs("--sandbox-timeout=200ms", "--max-sandboxes-with-series=1",
		"--runsc", r.west.otherMetadata())...), "/nonexistent"))
	r.writeTargets(r.west.addr)
	config, err := json.Marshal(map[string]any{
		"global":     map[string]any{"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
		"rule_files": ruleFiles(t),
		"scrape_configs": []any{
			map[string]any{"job_name": "east", "static_configs": []any{map[string]any{"targets": []string{r.east.addr}}}},
			map[string]any{"job_name": "west", "file_sd_configs": []any{map[string]any{"files": []string{r.targets}, "refresh_interval": "1s"}}},
		},
	})
	r.east.must(err)
	r.prometheus = r.east.startConfigured(config)
	return r
}

// writeTargets makes these the targets of west. Prometheus sees either the old file or the new one.
func (r *ruled) writeTargets(addresses ...string) {
	r.east.t.Helper()
	groups := []any{}
	for _, address := range addresses {
		groups = append(groups, map[string]any{"targets": []string{address}, "labels": map[string]string{"cluster": "west"}})
	}
	text, err := json.Marshal(groups)
	r.east.must(err)
	r.east.must(os.WriteFile(r.targets+".new", text, 0o644))
	r.east.must(os.Rename(r.targets+".new", r.targets))
}

// ruleFiles returns the paths of the rules, the alerts as a copy that waits for a second only.
func ruleFiles(t *testing.T) []string {
	t.Helper()
	recording, err := filepath.Abs("../mixin/rules/recording.yaml")
	if err != nil {
		t.Fatal(err)
	}
	alerts, err := os.ReadFile("../mixin/rules/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	waits := regexp.MustCompile(`(?m)^( +for:) \d+m$`)
	if n := len(waits.FindAll(alerts, -1)); n == 0 {
		t.Fatal("no alert waits")
	}
	return []string{recording, writeExample(t, waits.ReplaceAll(alerts, []byte("$1 1s")))}
}

// startEast starts sandboxes of which the host can measure all, one for each thing that goes wrong,
// and one that ends well at once.
func (r *ruled) startEast() {
	w := r.east
	start := func(name, namespace string, change func(*runsc.Container)) {
		w.t.Helper()
		id := usageID(name)
		w.pod(runsc.Pod{Sandbox: id, Name: name, Namespace: namespace})(id, change)
	}
	none := func(*runsc.Container) {}
	start("busy", "shop", func(c *runsc.Container) {
		c.Args = []string{"workload", "use", "100ms", "10", "1", "1", "10.77.0.1:9"}
		c.Cgroup, c.Network, c.CPULimit, c.MemoryLimit = true, startNetwork(w.t), 2, 1<<30
	})
	start("stalled", "shop", none)
	start("taken", "shop", none)
	start("done", "shop", none)
	for i := range 3 {
		start(fmt.Sprint("killed-", i), "batch", none)
	}
	w.must(w.node.Kill(w.ctx(), usageID("done"), unix.SIGTERM))
}

// otherMetadata returns the path of a file with the output of `runsc metric-metadata` of a runsc that
// has another name for a metric.
func (w *world) otherMetadata() (path string) {
	w.t.Helper()
	path = w.metadata()
	text, err := os.ReadFile(path)
	w.must(err)
	other := strings.NewReplacer(`"/fs/opens"`, `"/fs/opened"`, `"fs_opens"`, `"fs_opened"`).Replace(string(text))
	if other == string(text) {
		w.t.Fatal("runsc has no metric fs_opens")
	}
	w.must(os.WriteFile(path, []byte(other), 0o600))
	return path
}

// takeSocket listens on the control socket of a sandbox in its place. giveBack undoes it, and so does
// the end of the test.
func (w *world) takeSocket(id string) (giveBack func()) {
	w.t.Helper()
	path := filepath.Join(w.root, "runsc-"+id+".sock")
	w.must(os.Rename(path, path+".taken"))
	listener, err := net.Listen("unix", path)
	w.must(err)
	giveBack = func() {
		if listener.Close() == nil { // which removes it
			w.must(os.Rename(path+".taken", path))
		}
	}
	w.t.Cleanup(giveBack)
	return giveBack
}

// makeUnreadable puts a file in the place of the second root, which nobody can list.
func (r *ruled) makeUnreadable() {
	r.east.t.Helper()
	r.east.must(os.Remove(r.second))
	r.east.must(os.WriteFile(r.second, nil, 0o644))
}

// runOutOfMemory runs sandboxes that need more memory than their limit.
func (r *ruled) runOutOfMemory() {
	w := r.east
	w.t.Helper()
	for i := range 3 {
		c := w.container(usageID(fmt.Sprint("oom-", i)), "use", "0s", "400", "0")
		c.Cgroup, c.MemoryLimit = true, 100<<20
		w.must(w.node.Run(w.ctx(), c))
	}
}

// evaluated returns the names of the recording rules, once Prometheus has evaluated all rules without
// an error.
func (p *peer) evaluated() (recordings []string, err error) {
	var reply struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Type, Health, LastError string }
			}
		}
	}
	if err := getJSON("http://"+p.addr+"/api/v1/rules", &reply); err != nil {
		return nil, err
	}
	for _, group := range reply.Data.Groups {
		for _, rule := range group.Rules {
			if rule.Health != "ok" {
				return nil, fmt.Errorf("%s is %s: %s", rule.Name, rule.Health, rule.LastError)
			}
			if rule.Type == "recording" {
				recordings = append(recordings, rule.Name)
			}
		}
	}
	if len(recordings) == 0 {
		return nil, errNot("there are recording rules")
	}
	return recordings, nil
}

// untilRecorded waits until every recording rule has values.
func (r *ruled) untilRecorded() {
	r.east.t.Helper()
	r.east.until(func() error {
		recordings, err := r.prometheus.evaluated()
		for _, name := range recordings {
			if values, err := r.prometheus.instant(name); len(values) == 0 {
				return fmt.Errorf("%s has no value (%v)", name, err)
			}
		}
		return err
	})
}

// untilFiring waits until an alert with some labels fires.
func (r *ruled) untilFiring(alert, labels string) {
	r.east.t.Helper()
	r.east.until(func() error {
		values, err := r.prometheus.instant(fmt.Sprintf(`ALERTS{alertname=%q, alertstate="firing", %s}`, alert, labels))
		if err == nil && len(values) == 0 {
			values, err = r.prometheus.instant("ALERTS")
			err = fmt.Errorf("%s{%s} does not fire: %v, %v", alert, labels, values, err)
		}
		return err
	})
}

// untilNone waits until a query has no value.
func (r *ruled) untilNone(query string) {
	r.east.t.Helper()
	r.east.until(func() error { return r.prometheus.hasNone(query) })
}
