package e2e

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/common/model"

	"github.com/sandmeter/sandmeter/internal/runsc"
)

// kubeletText is what kubelet and kube-state-metrics have about the pods of TestCadvisorRules: the pods'
// own rows, which grow with each scrape, and 0 as the memory of a container.
const kubeletText = `container_cpu_usage_seconds_total{namespace="shop",pod="web",id="/kubepods/pod",cpu="total"} %[1]d
container_memory_working_set_bytes{namespace="shop",pod="web",id="/kubepods/pod"} 1000
container_memory_working_set_bytes{namespace="shop",pod="web",container="nginx",id="/kubepods/pod/nginx",image="docker.io/library/nginx:1",name="of-kubelet"} 0
container_network_receive_bytes_total{namespace="shop",pod="web",id="/kubepods/pod/p",image="pause:3",name="p",interface="eth0"} %[1]d
kube_pod_info{namespace="shop",pod="web",node="node-1"} 1
kube_pod_info{namespace="shop",pod="cache",node="node-1"} 1
`

// kubelet serves kubeletText, and returns its address.
func kubelet(t *testing.T) (addr string) {
	t.Helper()
	var scrapes atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, fmt.Sprintf(kubeletText, 60*scrapes.Add(1)))
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// TestCadvisorRules: with the scrape configuration in the docs, the rules of kube-prometheus have the
// numbers that Sandmeter has under its own names, next to the series that kubelet has.
func TestCadvisorRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	start := func(pod string, containers ...string) {
		id := usageID("cadvisor-" + pod) // other tests have cgroups of pods with the same names
		add := w.pod(runsc.Pod{Sandbox: id, Name: pod, Namespace: "shop"})
		add(id, func(c *runsc.Container) {
			c.Cgroup = true
			c.Annotations["io.kubernetes.cri.podsandbox.image-name"] = "pause:3"
		})
		for _, name := range containers {
			add(id+"-"+name, func(c *runsc.Container) {
				c.Cgroup = true
				c.Args = []string{"workload", "busy", "2ms"}
				c.Annotations["io.kubernetes.cri.container-name"] = name
				c.Annotations["io.kubernetes.cri.image-name"] = "docker.io/library/" + name + ":1"
			})
		}
	}
	start("web", "nginx")
	start("cache", "redis", "proxy")
	e := w.endpoint("HTTP", nil)
	e.startServer(e.defaultArgs("--usage=own,cadvisor,detail"))
	prometheus := w.startConfigured(cadvisorConfig(t, e.addr, kubelet(t)))

	for _, check := range []struct{ rule, container, own string }{
		{"cpu_usage_seconds_total:sum_rate5m", "nginx", `rate(sandmeter_sandbox_cpu_seconds_total{pod_name="web"}[5m])`},
		{"cpu_usage_seconds_total:sum_irate", "nginx", `irate(sandmeter_sandbox_cpu_seconds_total{pod_name="web"}[5m])`},
		{"cpu_usage_seconds_total:sum_irate", "redis", `irate(sandmeter_container_cpu_seconds_total{container="redis"}[5m])`},
		{"cpu_usage_seconds_total:sum_irate", "proxy", `irate(sandmeter_container_cpu_seconds_total{container="proxy"}[5m])`},
		{"memory_working_set_bytes", "nginx", `sandmeter_sandbox_memory_bytes{pod_name="web"}`},
	} {
		recorded := fmt.Sprintf(`node_namespace_pod_container:container_%s{namespace="shop", container=%q, node="node-1"}`, check.rule, check.container)
		w.until(func() error { return prometheus.equals(recorded, check.own) })
	}
	const all = `{__name__=~"container_.+", image!="", name!~"p|of-kubelet"}`
	vector, err := prometheus.instant(all)
	w.must(err)
	wantKubeletLabels(t, vector)
}

// cadvisorConfig returns the configuration of the docs for a server at addr, which is itself in a
// pod, with kubelet and the rules.
func cadvisorConfig(t *testing.T, addr, kubelet string) []byte {
	t.Helper()
	rules, err := filepath.Abs("testdata/kubernetes.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range examples(t, "yaml") {
		if strings.Contains(text, "replacement: /metrics/cadvisor") {
			const target, labels = "localhost:19640", "labels: {"
			text = strings.Replace(text, target, addr, 1)
			text = strings.Replace(text, labels, labels+"namespace: monitoring, pod: sandmeter-0, container: sandmeter, ", 1)
			return fmt.Appendf(nil, `global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [%s]
%s  - job_name: kubelet
    honor_labels: true
    metrics_path: /metrics/cadvisor
    static_configs: [{targets: [%q], labels: {node: node-1, metrics_path: /metrics/cadvisor}}]
`, rules, text, kubelet)
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

// equals returns an error unless the sum of recorded series is the value of an expression, which is not 0,
// at the time of their last evaluation.
func (p *peer) equals(recorded, expr string) error {
	var matrix model.Matrix
	if err := p.query(recorded+"[1m]", &matrix); err != nil {
		return err
	}
	if len(matrix) == 0 {
		return fmt.Errorf("there is no %s", recorded)
	}
	values := matrix[0].Values
	at := strconv.FormatFloat(float64(values[len(values)-1].Timestamp)/1000, 'f', 3, 64)
	var got, want model.Vector
	if err := errors.Join(p.queryAt("sum("+recorded+")", at, &got), p.queryAt("sum("+expr+")", at, &want)); err != nil {
		return err
	}
	if len(got) != 1 || len(want) != 1 || want[0].Value == 0 || math.Abs(float64(got[0].Value/want[0].Value)-1) > 1e-9 {
		return fmt.Errorf("%s is %v, but %s is %v", recorded, got, expr, want)
	}
	return nil
}

// wantKubeletLabels fails the test unless cAdvisor's series are those of the containers, and have
// the labels that kubelet has.
func wantKubeletLabels(t *testing.T, vector model.Vector) {
	t.Helper()
	want := []string{"__name__", "container", "id", "image", "instance", "job", "metrics_path", "name", "namespace", "node", "pod"}
	containers := map[string]bool{}
	for _, s := range vector {
		var names []string
		for name := range s.Metric {
			if name != "cpu" {
				names = append(names, string(name))
			}
		}
		slices.Sort(names)
		if !slices.Equal(names, want) || s.Metric["job"] != "kubelet" {
			t.Errorf("%s has other labels than kubelet's", s.Metric)
		}
		containers[string(s.Metric["container"])] = true
	}
	if len(containers) != 3 {
		t.Errorf("containers with series: %v", containers)
	}
}
