package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/common/model"

	"github.com/sandmeter/sandmeter/internal/runsc"
)

// cadvisorPod is a pod with one container, which opens files all the time.
type cadvisorPod struct {
	id, namespace, name, container string
	every                          string // how often it opens a file
}

// run starts the pod. Its cgroup is that of its root container, as containerd's shim has it.
func (p *cadvisorPod) run(w *world) {
	w.t.Helper()
	add := w.pod(runsc.Pod{Sandbox: p.id, Name: p.name, Namespace: p.namespace})
	add(p.id, func(c *runsc.Container) {
		c.Cgroup = true
		c.Annotations["io.kubernetes.cri.podsandbox.image-name"] = "pause:3"
	})
	add(p.id+"-app", func(c *runsc.Container) {
		c.Cgroup = true
		c.Args = []string{"workload", "busy", p.every}
		c.Annotations["io.kubernetes.cri.container-name"] = p.container
		c.Annotations["io.kubernetes.cri.image-name"] = "docker.io/library/" + p.container + ":1"
	})
}

// TestCadvisorRules: the scrape configuration in the docs and the rules of kube-prometheus give the
// right numbers for two pods, next to the series that kubelet has. A real Prometheus scrapes twice,
// and its rule tester evaluates the rules five minutes long.
func TestCadvisorRules(t *testing.T) {
	w := newWorld(t)
	pods := []*cadvisorPod{
		{usageID("web"), "shop", "web-0", "nginx", "2ms"},
		{usageID("db"), "bank", "db-0", "postgres", "20ms"},
	}
	for _, p := range pods {
		p.run(w)
	}
	e := w.endpoint("HTTP", nil)
	e.startServer(e.defaultArgs("--usage=both"))
	prometheus := w.startConfigured(cadvisorConfig(t, e.addr))

	var before, after series
	w.until(func() (err error) { before, err = prometheus.measured(pods, nil); return err })
	w.until(func() (err error) { after, err = prometheus.measured(pods, before); return err })
	after.wantKubeletLabels(t)
	page, err := e.client.GetMetrics(w.ctx(), nil)
	w.must(err)
	if said := promtool(t, string(page), "check", "metrics"); said != "" {
		t.Errorf("promtool says:\n%s", said)
	}
	w.testRules(pods, before, after)
	for _, p := range pods {
		w.remove(p.id+"-app", p.id)
	}
}

// cadvisorConfig returns the configuration of the docs for a server at addr, which is itself in a
// pod.
func cadvisorConfig(t *testing.T, addr string) []byte {
	t.Helper()
	for _, text := range examples(t, "yaml") {
		if strings.Contains(text, "replacement: /metrics/cadvisor") {
			const target, labels = "localhost:19640", "labels: {"
			text = strings.Replace(text, target, addr, 1)
			text = strings.Replace(text, labels, labels+"namespace: monitoring, pod: sandmeter-0, container: sandmeter, ", 1)
			return []byte("global: {scrape_interval: 1s, scrape_timeout: 1s}\n" + text)
		}
	}
	t.Fatal("no document has the configuration")
	return nil
}

// startConfigured starts Prometheus with a configuration file.
func (w *world) startConfigured(text []byte) *peer {
	w.t.Helper()
	p := &peer{peerProgram: peerProgram{name: "Prometheus", flags: prometheusFlags()}}
	path, data := findPeer(w.t, "bin/prometheus"), w.t.TempDir()
	config := filepath.Join(data, "scrape.yml")
	w.must(os.WriteFile(config, text, 0o600))
	for !p.begin(w, path, config, filepath.Join(data, "data")) {
	}
	return p
}

// series are values by series.
type series map[string]*model.Sample

// measured returns the series of one scrape with the CPU time of all pods, which has grown since an
// earlier scrape by a tenth of a second.
func (p *peer) measured(pods []*cadvisorPod, before series) (series, error) {
	vector, err := p.instant(`{__name__=~"container_.+|sandmeter_sandbox_(cpu_seconds_total|memory_bytes)"}`)
	all := make(series)
	for _, s := range vector {
		all[s.Metric.String()] = s
	}
	for _, pod := range pods {
		used, known := all.own(pod, "sandmeter_sandbox_cpu_seconds_total")
		earlier, _ := before.own(pod, "sandmeter_sandbox_cpu_seconds_total")
		if !known || used < earlier+0.1 {
			return nil, fmt.Errorf("%s has used %v s (known: %t, %v), before %v", pod.name, used, known, err, earlier)
		}
	}
	return all, err
}

// own returns the value of one of Sandmeter's own families for a pod.
func (all series) own(pod *cadvisorPod, family string) (value float64, known bool) {
	for _, s := range all {
		if string(s.Metric[model.MetricNameLabel]) == family && string(s.Metric["sandbox"]) == pod.id {
			return float64(s.Value), true
		}
	}
	return 0, false
}

// wantKubeletLabels fails the test unless cAdvisor's series are those of the containers, and have
// the labels that kubelet has. Other families keep the labels of the target.
func (all series) wantKubeletLabels(t *testing.T) {
	t.Helper()
	labels := []string{"__name__", "container", "id", "image", "instance", "job", "metrics_path", "name", "namespace", "node", "pod"}
	found := 0
	for text, s := range all {
		family := string(s.Metric[model.MetricNameLabel])
		if !strings.HasPrefix(family, "container_") {
			if s.Metric["job"] != "sandmeter" || s.Metric["pod"] != "sandmeter-0" {
				t.Errorf("%s has not the labels of its target", text)
			}
			continue
		}
		found++
		var names []string
		for name := range s.Metric {
			if name != "cpu" {
				names = append(names, string(name))
			}
		}
		slices.Sort(names)
		if !slices.Equal(names, labels) || s.Metric["job"] != "kubelet" || s.Metric["container"] == "sandmeter" {
			t.Errorf("%s has other labels than kubelet's", text)
		}
	}
	const families = 4 // CPU, two of memory, OOM events
	if found != 2*families {
		t.Errorf("%d series of two containers, want %d each", found, families)
	}
}

// What Prometheus's rule tester reads, as JSON.
type (
	ruleTests struct {
		RuleFiles []string   `json:"rule_files"`
		Tests     []ruleTest `json:"tests"`
	}
	ruleTest struct {
		Interval string       `json:"interval"`
		Input    []ruleSeries `json:"input_series"`
		Exprs    []ruleExpr   `json:"promql_expr_test"`
	}
	ruleSeries struct {
		Series string `json:"series"`
		Values string `json:"values"`
	}
	ruleExpr struct {
		Expr    string       `json:"expr"`
		At      string       `json:"eval_time"`
		Samples []ruleSample `json:"exp_samples"`
	}
	ruleSample struct {
		Labels string  `json:"labels"`
		Value  float64 `json:"value"`
	}
)

// testRules evaluates the rules on series that grow from before to after in five minutes.
func (w *world) testRules(pods []*cadvisorPod, before, after series) {
	w.t.Helper()
	rules, err := filepath.Abs("testdata/kubernetes.rules.yml")
	w.must(err)
	test := ruleTest{Interval: "1m", Input: growing(before, after)}
	for _, p := range pods {
		test.Input = append(test.Input, p.kubelet()...)
	}
	const byPod, byContainer = `{namespace=%q, pod=%q}`, `{namespace=%q, pod=%q, container=%q}`
	// The numbers that are wanted are series too, because the tester compares floats bit by bit.
	check := func(expr, labels string, value func(p *cadvisorPod) float64) {
		samples := []ruleSample{}
		n := len(test.Exprs)
		for _, p := range pods {
			args := []any{p.namespace, p.name, p.container}
			samples = append(samples, ruleSample{fmt.Sprintf(labels, args[:strings.Count(labels, "%q")]...), 1})
			test.Input = append(test.Input, ruleSeries{fmt.Sprintf(`want{n="%d", namespace=%q, pod=%q}`, n, p.namespace, p.name), decimal(value(p)) + "x5"})
		}
		equal := fmt.Sprintf(`abs((%s) / on (namespace, pod) group_left () want{n="%d"} - 1) < bool 1e-9`, expr, n)
		test.Exprs = append(test.Exprs, ruleExpr{equal, "5m", samples})
	}
	cores := func(p *cadvisorPod) float64 {
		first, _ := before.own(p, "sandmeter_sandbox_cpu_seconds_total")
		last, _ := after.own(p, "sandmeter_sandbox_cpu_seconds_total")
		return (last - first) / 300
	}
	memory := func(p *cadvisorPod) float64 {
		bytes, _ := after.own(p, "sandmeter_sandbox_memory_bytes")
		return bytes
	}
	const recorded = "node_namespace_pod_container:container_"
	const ofNode = `{namespace=%q, pod=%q, container=%q, node="node-1"}`
	check(recorded+"cpu_usage_seconds_total:sum_rate5m", ofNode, cores)
	check(recorded+"cpu_usage_seconds_total:sum_irate", ofNode, cores)
	check(`sum by (namespace, pod) (`+recorded+`memory_working_set_bytes)`, byPod, memory)

	// A dashboard, prometheus-adapter, the history of the vertical pod autoscaler, and a network that
	// kubelet has.
	check(`sum by (namespace, pod, container) (container_memory_working_set_bytes{container!="", image!=""})`, byContainer, memory)
	check(`sum by (namespace, pod, container) (irate(container_cpu_usage_seconds_total{container!="", pod!=""}[4m]))`, byContainer, cores)
	check(`max by (namespace, pod, container) (rate(container_cpu_usage_seconds_total{job="kubelet", pod=~".+", container!="POD", container!=""}[5m]))`, byContainer, cores)
	check(`sum by (namespace, pod) (rate(container_network_receive_bytes_total[5m]))`, byPod, func(*cadvisorPod) float64 { return 10 })

	file, err := json.Marshal(ruleTests{[]string{rules}, []ruleTest{test}})
	w.must(err)
	promtool(w.t, "", "test", "rules", writeExample(w.t, file))
}

// growing returns series with a value per minute, from before to after. Those that are not in both
// are left out.
func growing(before, after series) (all []ruleSeries) {
	for text, s := range after {
		if first, ok := before[text]; ok {
			from, step := float64(first.Value), float64(s.Value-first.Value)/5
			all = append(all, ruleSeries{text, fmt.Sprintf("%s%sx5", decimal(from), signed(step))})
		}
	}
	return all
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func signed(f float64) string {
	if f < 0 {
		return decimal(f)
	}
	return "+" + decimal(f)
}

// kubelet returns what kubelet and kube-state-metrics have about a pod whose runtime is runsc: its
// own row, 0 as the memory of its container, and its network.
func (p *cadvisorPod) kubelet() []ruleSeries {
	of := func(family, labels, values string) ruleSeries {
		return ruleSeries{fmt.Sprintf(`%s{job="kubelet", metrics_path="/metrics/cadvisor", instance="node-1:10250", node="node-1", namespace=%q, pod=%q, %s}`,
			family, p.namespace, p.name, labels), values}
	}
	container := fmt.Sprintf(`container=%q, id="/kubepods/pod/%s", image="docker.io/library/%s:1", name="%s-app"`, p.container, p.id, p.container, p.id)
	return []ruleSeries{
		of("container_cpu_usage_seconds_total", `id="/kubepods/pod", cpu="total"`, "0+60x5"),
		of("container_memory_working_set_bytes", `id="/kubepods/pod"`, "1000x5"),
		of("container_memory_working_set_bytes", container, "0x5"),
		of("container_network_receive_bytes_total", `id="/kubepods/pod/p", image="pause:3", name="p", interface="eth0"`, "0+600x5"),
		{fmt.Sprintf(`kube_pod_info{job="kube-state-metrics", namespace=%q, pod=%q, node="node-1"}`, p.namespace, p.name), "1x5"},
	}
}
