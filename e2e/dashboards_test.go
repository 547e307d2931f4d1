package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/runsc"
)

// TestDashboards: every panel, variable and annotation of the Grafana dashboards in mixin/ has data in
// a Prometheus that scraped two nodes with real sandboxes. Every label that a legend or a table shows
// exists, and some panels show what is known of the sandboxes.
func TestDashboards(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	for _, d := range readDashboards(t) {
		f.check(d)
		f.knows(d)
	}
}

// withoutData returns the queries that have no data on this machine, and why.
func withoutData() map[string]string {
	if !exists("/sys/fs/cgroup/unified") && !exists("/sys/fs/cgroup/cgroup.controllers") {
		return map[string]string{"sandbox, Waiting for resources B": "no cgroup v2 is mounted"}
	}
	return nil
}

// A fleet is a Prometheus and the nodes that it scrapes: one with sandboxes that do everything that
// dashboards show, and one whose server has ended.
type fleet struct {
	*world
	prometheus peer
	pressed    string // cgroup v2 of the sandbox web, if it does not have one anyway
	begin      time.Time
	ids        map[string]string // of sandboxes, by name
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	path := findPeer(t, "bin/prometheus")
	pressed := makePressed(t, usageID("web")) // is removed after the sandbox
	w, other := newWorld(t), newWorld(t)
	other.start("elsewhere", "idle")
	live, down := w.endpoint("HTTP", nil), other.endpoint("HTTP, down", nil)
	logs := filepath.Join(w.node.Dir(), "final", "%ID%.prom")
	w.must(os.Mkdir(filepath.Dir(logs), 0o755))
	live.server = live.startServer(live.defaultArgs("--root", other.root, "--usage=own,detail", "--totals-by=namespace",
		"--sandbox-timeout=500ms", "--final-records", filepath.Join(w.node.Dir(), "records"), "--final-metrics-log", logs,
		"--zero-counters=all,suspicious_operations,weirdness"))
	down.server = down.startServer(down.defaultArgs())
	program := peerProgram{name: "Prometheus", flags: prometheusFlags(), protocols: []protocol{protobuf}, choosable: true}
	f := &fleet{world: w, pressed: pressed, begin: time.Now(), ids: make(map[string]string)}
	f.prometheus = w.startPeer(program, path, []*endpoint{live, down})
	f.untilValue(2, "sum(up)")
	f.startSandboxes()
	down.server.signal(syscall.SIGTERM)
	down.server.wantEnd(ample, 0)
	f.untilValue(1, "sum(up)")
	return f
}

// startSandboxes starts sandboxes, and ends some of them when Prometheus has seen them.
func (f *fleet) startSandboxes() {
	f.t.Helper()
	f.web()
	f.run("alone", "", func(c *runsc.Container) { c.Cgroup = false }, "busy") // shares the cgroup of the test
	f.run("stalled", "shop", nil, "idle")
	endings := map[string]func(id string){
		"exits":  func(id string) { f.must(f.node.Kill(f.ctx(), id, unix.SIGTERM)) },
		"fails":  func(id string) { f.must(f.node.Kill(f.ctx(), id, unix.SIGTERM)) },
		"killed": func(id string) { f.must(unix.Kill(f.pid(id), unix.SIGKILL)) },
	}
	status := map[string]string{"exits": "0", "fails": "3", "killed": "0"}
	for name := range endings {
		f.run(name, "batch", nil, "idle", status[name])
	}
	for _, name := range []string{"web", "alone", "stalled", "exits", "fails", "killed"} {
		f.untilValue(1, fmt.Sprintf("sandmeter_sandbox_up{sandbox=%q,job=~'.*HTTP'}", f.ids[name]))
	}
	f.stopSandbox(f.ids["stalled"])
	for name, end := range endings {
		end(f.ids[name])
	}
	f.run("oom", "batch", func(c *runsc.Container) { c.MemoryLimit = 100 << 20 }, "use", "0s", "400", "0")
	for _, name := range []string{"exits", "fails", "killed", "oom"} {
		f.untilValue(1, fmt.Sprintf("sandmeter_sandbox_outcome{sandbox=%q}", f.ids[name]))
	}
}

// run starts a sandbox with a cgroup of its own: of a pod in a namespace, or of none.
func (f *fleet) run(name, namespace string, change func(*runsc.Container), workload ...string) {
	f.t.Helper()
	id := usageID(name)
	c := f.container(id, workload...)
	c.Cgroup = true
	if namespace != "" {
		c.Annotations = runsc.Pod{Sandbox: id, Name: name + "-1", Namespace: namespace}.Annotations(id)
	}
	if change != nil {
		change(&c)
	}
	f.ids[name] = id
	f.must(f.node.Run(f.ctx(), c))
}

// web starts a pod with limits and a network, which uses CPU, files and memory all the time.
func (f *fleet) web() {
	f.t.Helper()
	id, network := usageID("web"), startNetwork(f.t)
	f.ids["web"] = id
	add := f.pod(runsc.Pod{Sandbox: id, Name: "web-1", Namespace: "shop"})
	limited := func(c *runsc.Container) {
		c.Cgroup, c.Network, c.CPULimit, c.MemoryLimit = true, network, 0.5, 512<<20
	}
	add(id, limited)
	add(id+"-app", func(c *runsc.Container) {
		limited(c)
		c.CgroupMount = true
		c.Annotations["io.kubernetes.cri.container-name"] = "app"
		c.Args = []string{"workload", "busy", "100us"}
	})
	add(id+"-side", func(c *runsc.Container) {
		limited(c)
		c.CgroupMount = true
		c.Annotations["io.kubernetes.cri.container-name"] = "side"
		c.Args = []string{"workload", "use", "100ms", "60", "3", "20", "10.77.0.1:9"}
	})
	f.press(id, f.pressed)
}

// untilValue waits until a query has a value.
func (f *fleet) untilValue(want float64, query string) {
	f.t.Helper()
	f.until(func() error {
		vector, err := f.prometheus.instant(query)
		if err == nil && (len(vector) != 1 || float64(vector[0].Value) != want) {
			err = fmt.Errorf("%s is %v, not %v", query, vector, want)
		}
		return err
	})
}

// A dashboardFile is a dashboard as far as the test reads it.
type dashboardFile struct {
	name   string
	Panels []struct {
		Title, Type     string
		Targets         []dashboardTarget
		Transformations []struct {
			ID      string
			Options struct{ RenameByName map[string]string }
		}
	}
	Templating  struct{ List []dashboardVariable }
	Annotations struct {
		List []struct{ Name, Expr string }
	}
}

type dashboardTarget struct {
	Expr, LegendFormat, RefID, Format string
	Instant                           bool
}

type dashboardVariable struct{ Name, Type, Query, AllValue string }

func readDashboards(t *testing.T) (list []dashboardFile) {
	t.Helper()
	files, err := filepath.Glob("../mixin/dashboards/*.json")
	if err != nil || len(files) != 3 {
		t.Fatalf("dashboards: %q, %v", files, err)
	}
	for _, file := range files {
		d := dashboardFile{name: strings.TrimSuffix(filepath.Base(file), ".json")}
		if err := json.Unmarshal(must(os.ReadFile(file))(t), &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		list = append(list, d)
	}
	return list
}

// A selected is a choice of values of variables, as Grafana puts them into expressions.
type selected map[string]string

func (s selected) expand(expr string) string {
	return regexp.MustCompile(`\$\w+`).ReplaceAllStringFunc(expr, func(name string) string {
		if value, ok := s[name[1:]]; ok {
			return value
		}
		return name
	})
}

// selections returns what a user can select: all values of most variables, and each value of those
// that have no choice of all.
func (f *fleet) selections(d dashboardFile) (list []selected) {
	f.t.Helper()
	ranges := time.Since(f.begin).Truncate(time.Second) + time.Minute
	list = []selected{{"__rate_interval": "10s", "__range": strconv.Itoa(int(ranges.Seconds())) + "s"}}
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		var more []selected
		any := false
		for _, s := range list {
			values, err := f.labelValues(s.expand(v.Query))
			f.must(err)
			any = any || len(values) > 0
			if v.AllValue != "" {
				values = []string{v.AllValue}
			}
			for _, value := range values {
				one := maps.Clone(s)
				one[v.Name] = value
				more = append(more, one)
			}
		}
		if list = more; !any {
			f.t.Errorf("%s: the variable %s has no values", d.name, v.Name)
		}
	}
	return list
}

// labelValues is Grafana's function label_values.
func (f *fleet) labelValues(query string) ([]string, error) {
	match := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(query)
	if match == nil {
		return nil, fmt.Errorf("not a query of values: %s", query)
	}
	var reply struct{ Data []string }
	err := getJSON("http://"+f.prometheus.addr+"/api/v1/label/"+match[2]+"/values?match[]="+url.QueryEscape(match[1]), &reply)
	return reply.Data, err
}

// check fails the test unless each query of a dashboard has data for one of the selections, with all
// labels that are shown.
func (f *fleet) check(d dashboardFile) {
	f.t.Helper()
	selections, without := f.selections(d), withoutData()
	for _, p := range d.Panels {
		labels := make(map[string]bool)
		for _, target := range p.Targets {
			name := d.name + ", " + p.Title + " " + target.RefID
			found, err := f.untilData(selections, target)
			if reason, ok := without[name]; ok && err == nil {
				f.t.Errorf("%s has data, although %s", name, reason)
			} else if err != nil && !ok {
				f.t.Errorf("%s: %v", name, err)
			}
			for _, match := range regexp.MustCompile(`{{(\w+)}}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				if err == nil && !found[match[1]] {
					f.t.Errorf("%s: no series has the label %s of the legend", name, match[1])
				}
			}
			maps.Copy(labels, found)
		}
		for _, transformation := range p.Transformations {
			for name := range transformation.Options.RenameByName {
				if !labels[name] && !strings.HasPrefix(name, "Value") {
					f.t.Errorf("%s, %s: no series has the label %s of a column", d.name, p.Title, name)
				}
			}
		}
	}
	for _, a := range d.Annotations.List {
		if a.Expr == "" {
			continue // Grafana's own
		}
		if _, err := f.untilData(selections, dashboardTarget{Expr: a.Expr}); err != nil {
			f.t.Errorf("%s, annotation %s: %v", d.name, a.Name, err)
		}
	}
}

// untilData waits until a query has data for one of the selections, and returns the labels of all
// series.
func (f *fleet) untilData(selections []selected, target dashboardTarget) (labels map[string]bool, err error) {
	f.t.Helper()
	labels = make(map[string]bool)
	for end := time.Now().Add(ample); ; time.Sleep(500 * time.Millisecond) {
		data := false
		for _, s := range selections {
			matrix, err := f.evaluate(s.expand(target.Expr), target.Instant)
			if err != nil {
				return labels, err
			}
			for _, series := range matrix {
				data = data || slices.ContainsFunc(series.Values, func(p model.SamplePair) bool { return !math.IsNaN(float64(p.Value)) })
				for name := range series.Metric {
					labels[string(name)] = true
				}
			}
		}
		if data {
			return labels, nil
		}
		if time.Now().After(end) {
			return labels, errors.New("no data: " + target.Expr)
		}
	}
}

// evaluate evaluates an expression as Grafana does: at the end of the time range, or over all of it.
func (f *fleet) evaluate(expr string, instant bool) (model.Matrix, error) {
	if instant {
		vector, err := f.prometheus.instant(expr)
		var matrix model.Matrix
		for _, s := range vector {
			matrix = append(matrix, &model.SampleStream{Metric: s.Metric, Values: []model.SamplePair{{Timestamp: s.Timestamp, Value: s.Value}}})
		}
		return matrix, err
	}
	var reply struct {
		Data struct{ Result model.Matrix }
	}
	query := url.Values{"query": {expr}, "step": {"5"}, "start": {strconv.FormatInt(f.begin.Unix(), 10)}, "end": {strconv.FormatInt(time.Now().Unix(), 10)}}
	err := getJSON("http://"+f.prometheus.addr+"/api/v1/query_range?"+query.Encode(), &reply)
	return reply.Data.Result, err
}

// knows waits until some panels show what the test knows of the nodes and the sandboxes.
func (f *fleet) knows(d dashboardFile) {
	f.t.Helper()
	switch selections := f.selections(d); d.name {
	case "fleet":
		for title, want := range map[string]float64{"Nodes up": 1, "Nodes down": 1, "Sandboxes running": 4, "Without metrics": 1} {
			f.untilShown(d, title, selections[0], fmt.Sprint(want), sampleValue)
		}
	case "sandbox":
		for name, want := range map[string]string{"web": "2", "alone": "2", "stalled": "1", "exits": "0", "fails": "0", "killed": "0", "oom": "0"} {
			f.untilShown(d, "State", f.selectionOf(name, selections), want, sampleValue)
		}
		for name, want := range map[string]string{"exits": "exited", "fails": "failed", "killed": "killed", "oom": "oom_killed"} {
			f.untilShown(d, "Outcome", f.selectionOf(name, selections), want, func(s *model.Sample) string { return string(s.Metric["outcome"]) })
		}
	}
}

// selectionOf returns the selection of a sandbox.
func (f *fleet) selectionOf(name string, selections []selected) selected {
	f.t.Helper()
	i := slices.IndexFunc(selections, func(s selected) bool { return s["sandbox"] == f.ids[name] })
	if i < 0 {
		f.t.Fatalf("%s cannot be selected", name)
	}
	return selections[i]
}

func sampleValue(s *model.Sample) string { return s.Value.String() }

// untilShown waits until the first query of a panel has one result, with the wanted text.
func (f *fleet) untilShown(d dashboardFile, title string, s selected, want string, text func(*model.Sample) string) {
	f.t.Helper()
	for _, p := range d.Panels {
		if p.Title != title {
			continue
		}
		f.until(func() error {
			vector, err := f.prometheus.instant(s.expand(p.Targets[0].Expr))
			if err == nil && (len(vector) != 1 || text(vector[0]) != want) {
				err = fmt.Errorf("%s, %s shows %v, want %s", d.name, title, vector, want)
			}
			return err
		})
		return
	}
	f.t.Errorf("%s has no panel %q", d.name, title)
}
