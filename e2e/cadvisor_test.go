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

// cadvisorPod is a pod whose containers open files all the time.
type cadvisorPod struct {
	id, namespace, name string
	containers          []cadvisorContainer
}

type cadvisorContainer struct {
	name  string
	every string // how often it opens a file
}

func (p *cadvisorPod) containerID(c cadvisorContainer) string { return p.id + "-" + c.name }

// run starts the pod. Its cgroup is that of its root container, as containerd's shim has it.
func (p *cadvisorPod) run(w *world) {
	w.t.Helper()
	add := w.pod(runsc.Pod{Sandbox: p.id, Name: p.name, Namespace: p.namespace})
	add(p.id, func(c *runsc.Container) {
		c.Cgroup = true
		c.Annotations["io.kubernetes.cri.podsandbox.image-name"] = "pause:3"
	})
	for _, app := range p.containers {
		add(p.containerID(app), func(c *runsc.Container) {
			c.Cgroup = true
			c.Args = []string{"workload", "busy", app.every}
			c.Annotations["io.kubernetes.cri.container-name"] = app.name
			c.Annotations["io.kubernetes.cri.image-name"] = "docker.io/library/" + app.name + ":1"
		})
	}
}

// TestCadvisorRules: the scrape configuration in the docs and the rules of kube-prometheus give the
// right numbers for three pods, next to the series that kubelet has. A real Prometheus scrapes
// twice, and its rule tester evaluates the rules five minutes long.
func TestCadvisorRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pods := []*cadvisorPod{
		{usageID("web"), "shop", "web-0", []cadvisorContainer{{"nginx", "2ms"}}},
		{usageID("db"), "bank", "db-0", []cadvisorContainer{{"postgres", "20ms"}}},
		{usageID("cache"), "shop", "cache-0", []cadvisorContainer{{"redis", "2ms"}, {"proxy", "10ms"}}},
	}
	for _, p := range pods {
		p.run(w)
	}
	e := w.endpoint("HTTP", nil)
	e.startServer(e.defaultArgs("--usage=own,cadvisor,detail"))
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
		for _, c := range p.containers {
			w.remove(p.containerID(c))
		}
		w.remove(p.id)
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
	vector, err := p.instant(`{__name__=~"container_.+|sandmeter_sandbox_(cpu_seconds_total|memory_bytes)|sandmeter_container_(cpu_seconds_total|processes)"}`)
	all := make(series)
	for _, s := range vector {
		all[s.Metric.String()] = s
	}
	for _, pod := range pods {
		used, known := all.own("sandmeter_sandbox_cpu_seconds_total", pod, "")
		earlier, _ := before.own("sandmeter_sandbox_cpu_seconds_total", pod, "")
		if !known || used < earlier+0.1 {
			return nil, fmt.Errorf("%s has used %v s (known: %t, %v), before %v", pod.name, used, known, err, earlier)
		}
		for _, c := range pod.containers {
			for _, family := range []string{"sandmeter_container_cpu_seconds_total", "sandmeter_container_processes"} {
				if _, known := all.own(family, pod, pod.containerID(c)); !known {
					return nil, fmt.Errorf("%s has no %s of %s", pod.name, family, c.name)
				}
			}
		}
	}
	return all, err
}

// own returns the value of one of Sandmeter's own families for a pod, or for one of its containers.
func (all series) own(family string, pod *cadvisorPod, containerID string) (value float64, known bool) {
	for _, s := range all {
		if string(s.Metric[model.MetricNameLabel]) == family && string(s.Metric["sandbox"]) == pod.id && string(s.Metric["container_id"]) == containerID {
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
	const only, other = 5, 2 // CPU and processes; two of memory, and OOM events, if it is the only container
	if found != 2*only+2*other {
		t.Errorf("%d series of containers, want %d", found, 2*only+2*other)
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
	r := &ruleChecks{pods: pods, before: before, after: after, test: ruleTest{Interval: "1m", Input: growing(before, after)}}
	for _, p := range pods {
		r.test.Input = append(r.test.Input, p.kubelet()...)
	}
	const byContainer, byPod = `sum by (namespace, pod, container) `, `sum by (namespace, pod) `
	const recorded = byContainer + `({__name__="node_namespace_pod_container:container_%s", node="node-1"}) > 0`
	r.containers(fmt.Sprintf(recorded, "cpu_usage_seconds_total:sum_rate5m"), r.cores)
	r.containers(fmt.Sprintf(recorded, "cpu_usage_seconds_total:sum_irate"), r.cores)
	r.containers(fmt.Sprintf(recorded, "memory_working_set_bytes"), r.memory)

	// A dashboard, prometheus-adapter, the history of the vertical pod autoscaler, and a network that
	// kubelet has.
	r.perPod(byPod+`(container_memory_working_set_bytes{container!="", image!=""}) > 0`, func(p *cadvisorPod) float64 { return r.memory(p, p.containers[0]) })
	r.containers(byContainer+`(irate(container_cpu_usage_seconds_total{container!="", pod!=""}[4m]))`, r.cores)
	r.containers(`sum without (cpu, id, image, instance, job, metrics_path, name, node) (
		rate(container_cpu_usage_seconds_total{job="kubelet", pod=~".+", container!="POD", container!=""}[5m]))`, r.cores)
	r.containers(byContainer+`(container_processes{container!=""}) > 0`, r.processes)
	r.perPod(byPod+`(rate(container_network_receive_bytes_total[5m]))`, func(*cadvisorPod) float64 { return 10 })

	rules, err := filepath.Abs("testdata/kubernetes.rules.yml")
	w.must(err)
	file, err := json.Marshal(ruleTests{[]string{rules}, []ruleTest{r.test}})
	w.must(err)
	promtool(w.t, "", "test", "rules", writeExample(w.t, file))
}

// ruleChecks are expressions with the numbers that Sandmeter's own families say they have.
type ruleChecks struct {
	pods          []*cadvisorPod
	before, after series
	test          ruleTest
}

// containers checks that an expression has a number for each container, and none where that is 0.
func (r *ruleChecks) containers(expr string, number func(p *cadvisorPod, c cadvisorContainer) float64) {
	r.begin(expr)
	for _, p := range r.pods {
		for _, c := range p.containers {
			r.want(fmt.Sprintf(`namespace=%q, pod=%q, container=%q`, p.namespace, p.name, c.name), number(p, c))
		}
	}
}

// perPod is containers for an expression with a number for each pod.
func (r *ruleChecks) perPod(expr string, number func(p *cadvisorPod) float64) {
	r.begin(expr)
	for _, p := range r.pods {
		r.want(fmt.Sprintf(`namespace=%q, pod=%q`, p.namespace, p.name), number(p))
	}
}

// begin begins a check. The numbers that are wanted are series too, because the tester compares
// floats bit by bit.
func (r *ruleChecks) begin(expr string) {
	equal := fmt.Sprintf(`abs((%s) / on (namespace, pod, container) want{n="%d"} - 1) < bool 1e-9`, expr, len(r.test.Exprs))
	r.test.Exprs = append(r.test.Exprs, ruleExpr{equal, "5m", nil})
}

func (r *ruleChecks) want(labels string, number float64) {
	if number == 0 {
		return
	}
	n := len(r.test.Exprs) - 1
	r.test.Input = append(r.test.Input, ruleSeries{fmt.Sprintf(`want{n="%d", %s}`, n, labels), decimal(number) + "x5"})
	r.test.Exprs[n].Samples = append(r.test.Exprs[n].Samples, ruleSample{"{" + labels + "}", 1})
}

// cores returns the CPU time of a container per second: the sandbox's if it is the only container.
func (r *ruleChecks) cores(p *cadvisorPod, c cadvisorContainer) float64 {
	family, id := "sandmeter_sandbox_cpu_seconds_total", ""
	if len(p.containers) > 1 {
		family, id = "sandmeter_container_cpu_seconds_total", p.containerID(c)
	}
	first, _ := r.before.own(family, p, id)
	last, _ := r.after.own(family, p, id)
	return (last - first) / 300
}

// memory returns the memory of the only container of a pod. That of others is only divided equally,
// because cgroups are not mounted in them.
func (r *ruleChecks) memory(p *cadvisorPod, _ cadvisorContainer) float64 {
	if len(p.containers) > 1 {
		return 0
	}
	bytes, _ := r.after.own("sandmeter_sandbox_memory_bytes", p, "")
	return bytes
}

func (r *ruleChecks) processes(p *cadvisorPod, c cadvisorContainer) float64 {
	n, _ := r.after.own("sandmeter_container_processes", p, p.containerID(c))
	return n
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
	all := []ruleSeries{
		of("container_cpu_usage_seconds_total", `id="/kubepods/pod", cpu="total"`, "0+60x5"),
		of("container_memory_working_set_bytes", `id="/kubepods/pod"`, "1000x5"),
		of("container_network_receive_bytes_total", `id="/kubepods/pod/p", image="pause:3", name="p", interface="eth0"`, "0+600x5"),
		{fmt.Sprintf(`kube_pod_info{job="kube-state-metrics", namespace=%q, pod=%q, node="node-1"}`, p.namespace, p.name), "1x5"},
	}
	for _, c := range p.containers {
		labels := fmt.Sprintf(`container=%q, id="/kubepods/pod/%s", image="docker.io/library/%s:1", name=%q`, c.name, c.name, c.name, p.containerID(c))
		all = append(all, of("container_memory_working_set_bytes", labels, "0x5"))
	}
	return all
}
