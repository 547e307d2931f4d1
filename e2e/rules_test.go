package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/runsc"
)

// TestRules: with healthy sandboxes every recording rule has values, and no alert waits or fires. Then
// things go wrong for real, and alerts fire. Alerts wait a second where users' wait minutes; the
// expressions are the same.
func TestRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.setAddr(freePort(t))
	start := func(name, namespace string, change func(*runsc.Container)) {
		t.Helper()
		id := usageID(name)
		w.pod(runsc.Pod{Sandbox: id, Name: name, Namespace: namespace})(id, change)
	}
	none := func(*runsc.Container) {}
	start("busy", "shop", func(c *runsc.Container) { // the host can measure all of it
		c.Args = []string{"workload", "use", "100ms", "10", "1", "1", "10.77.0.1:9"}
		c.Cgroup, c.Network, c.CPULimit, c.MemoryLimit = true, startNetwork(t), 2, 1<<30
	})
	for _, name := range []string{"stalled", "taken", "done"} {
		start(name, "shop", none)
	}
	for i := range 3 {
		start(fmt.Sprint("killed-", i), "batch", none)
	}
	w.must(w.node.Kill(w.ctx(), usageID("done"), unix.SIGTERM))
	server := w.startServer(w.defaultArgs("--sandbox-timeout=200ms"))
	config, err := json.Marshal(map[string]any{
		"global":         map[string]any{"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
		"rule_files":     ruleFiles(t),
		"scrape_configs": []any{map[string]any{"job_name": "node", "static_configs": []any{map[string]any{"targets": []string{w.addr}}}}},
	})
	w.must(err)
	p := w.startConfigured(config)
	w.untilRecorded(p)
	w.until(func() error { return p.hasNone("ALERTS") })

	goOn := w.stopSandbox(usageID("stalled"))
	giveBack := w.takeSocket(usageID("taken"))
	for i := range 3 {
		w.kill(usageID(fmt.Sprint("killed-", i)))
	}
	w.untilFiring(p, `SandmeterSandboxStalled`, `job="node", reason="stalled"`)
	w.untilFiring(p, `SandmeterReplyRefused`, `job="node", reason="wrong_peer"`)
	w.untilFiring(p, `SandmeterSandboxesFailing`, `job="node", namespace_name="batch"`)
	goOn()
	giveBack()
	w.until(func() error { return p.hasNone(`ALERTS{alertname=~"SandmeterSandboxStalled|SandmeterReplyRefused"}`) })
	server.signal(syscall.SIGTERM)
	w.untilFiring(p, `SandmeterDown`, `job="node"`)
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
func (w *world) untilRecorded(p *peer) {
	w.t.Helper()
	w.until(func() error {
		recordings, err := p.evaluated()
		for _, name := range recordings {
			if values, err := p.instant(name); len(values) == 0 {
				return fmt.Errorf("%s has no value (%v)", name, err)
			}
		}
		return err
	})
}

// untilFiring waits until an alert with some labels fires.
func (w *world) untilFiring(p *peer, alert, labels string) {
	w.t.Helper()
	w.until(func() error {
		values, err := p.instant(fmt.Sprintf(`ALERTS{alertname=%q, alertstate="firing", %s}`, alert, labels))
		if err == nil && len(values) == 0 {
			values, err = p.instant("ALERTS")
			err = fmt.Errorf("%s{%s} does not fire: %v, %v", alert, labels, values, err)
		}
		return err
	})
}
