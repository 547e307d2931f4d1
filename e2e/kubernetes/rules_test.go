package kubernetes

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
)

// A prometheus is a Prometheus that scrapes kubelet, the server as the docs say, and what
// kube-state-metrics would say about pods.
type prometheus struct {
	*daemon
	n *node
}

const prometheusAddress = "127.0.0.1:9090"

// startPrometheus starts a Prometheus with the rules of kube-prometheus.
func (n *node) startPrometheus(podInfo string) *prometheus {
	n.t.Helper()
	rules, err := filepath.Abs("../testdata/kubernetes.rules.yml")
	n.must(err)
	n.write("prometheus.yml", fmt.Sprintf("global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\nrule_files: [%s]\n", rules)+
		n.docsConfig()+scrapeJob("kubelet", fmt.Sprint("127.0.0.1:", kubeletPort), "/metrics/cadvisor")+
		scrapeJob("kube-state-metrics", podInfo, "/metrics"))
	p := &prometheus{n: n}
	p.daemon = n.daemon(n.bin+"/prometheus", "--config.file", n.file("prometheus.yml"), "--storage.tsdb.path", n.file("tsdb"), "--web.listen-address", prometheusAddress)
	return p
}

// docsConfig returns the scrape configuration of docs/metrics.md for the families of cAdvisor, with
// the server's pod as its target.
func (n *node) docsConfig() string {
	n.t.Helper()
	docs, err := os.ReadFile("../../docs/metrics.md")
	n.must(err)
	for _, block := range strings.Split(string(docs), "```") {
		if text, ok := strings.CutPrefix(block, "yaml\n"); ok && strings.Contains(text, "replacement: /metrics/cadvisor") {
			servers, err := n.servers()
			n.must(err)
			target := strings.TrimSuffix(strings.TrimPrefix(pageURL(servers[0]), "http://"), "/metrics")
			return strings.Replace(text, "localhost:19640", target, 1)
		}
	}
	n.t.Fatal("docs/metrics.md has no scrape configuration for cAdvisor's families")
	return ""
}

// scrapeJob returns an entry of scrape_configs, with the label metrics_path as in kube-prometheus.
func scrapeJob(name, target, path string) string {
	return fmt.Sprintf(`  - job_name: %s
    honor_labels: true
    metrics_path: %s
    static_configs: [{targets: ["%s"], labels: {node: %s}}]
    relabel_configs: [{source_labels: [__metrics_path__], target_label: metrics_path}]
`, name, path, target, nodeName)
}

// query evaluates PromQL at a time, or now.
func (p *prometheus) query(expr, at string, into any) error {
	values := url.Values{"query": {expr}}
	if at != "" {
		values.Set("time", at)
	}
	body, err := readBody("http://" + prometheusAddress + "/api/v1/query?" + values.Encode())
	if err != nil {
		return err
	}
	var reply struct {
		Data struct{ Result json.RawMessage }
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return err
	}
	return json.Unmarshal(reply.Data.Result, into)
}

// equals returns an error unless the sum of recorded series is the value of an expression at the
// time of their last evaluation.
func (p *prometheus) equals(selector, expr string) error {
	var recorded model.Matrix
	if err := p.query(selector+"[1m]", "", &recorded); err != nil {
		return err
	}
	if len(recorded) == 0 {
		return fmt.Errorf("there is no %s", selector)
	}
	values := recorded[0].Values
	at := strconv.FormatFloat(float64(values[len(values)-1].Timestamp)/1000, 'f', 3, 64)
	got, err := p.value("sum("+selector+")", at)
	if err != nil {
		return err
	}
	want, err := p.value("sum("+expr+")", at)
	if err != nil {
		return err
	}
	if want == 0 || got < want*(1-1e-9) || got > want*(1+1e-9) {
		return fmt.Errorf("%s is %v, but %s is %v", selector, got, expr, want)
	}
	return nil
}

// value returns the value of an expression that has one, at a time or now.
func (p *prometheus) value(expr, at string) (float64, error) {
	var vector model.Vector
	if err := p.query(expr, at, &vector); err != nil {
		return 0, err
	}
	if len(vector) != 1 {
		return 0, fmt.Errorf("%s is %v", expr, vector)
	}
	return float64(vector[0].Value), nil
}

// podInfo serves the family kube_pod_info of all pods, as kube-state-metrics does.
func (n *node) podInfo() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var list struct{ Items []pod }
		if err := n.get("/api/v1/pods", &list); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, "# TYPE kube_pod_info gauge\n")
		for _, p := range list.Items {
			fmt.Fprintf(w, "kube_pod_info{namespace=%q,pod=%q,node=%q} 1\n", p.Metadata.Namespace, p.Metadata.Name, p.Spec.NodeName)
		}
	}))
}

// checkRules: for each container of a gVisor pod, the rules have the number that Sandmeter has under
// its own name. For other pods they have kubelet's. No sum has a container twice.
func checkRules(n *node) {
	plain := idle("shop", "plain")
	plain.plain = true
	n.create("shop", shop, plain, workload{namespace: "shop", name: "busy", containers: []container{{name: "app", workload: "busy 2ms"}}},
		workload{namespace: "shop", name: "done", containers: []container{{name: "app", workload: "use 1s 10 0"}}})
	n.untilUp("shop", "busy", "done", "web")
	info := n.podInfo()
	defer info.Close()
	p := n.startPrometheus(strings.TrimPrefix(info.URL, "http://"))
	defer func() {
		n.must(p.stop())
		n.daemons = n.daemons[:len(n.daemons)-1]
	}()
	of := func(family, pod, container string) string {
		return fmt.Sprintf(`node_namespace_pod_container:container_%s{namespace="shop", pod=%q, container=%q, node=%q}`, family, pod, container, nodeName)
	}
	for selector, expr := range map[string]string{
		of("cpu_usage_seconds_total:sum_rate5m", "busy", "app"): `rate(sandmeter_sandbox_cpu_seconds_total{pod_name="busy"}[5m])`,
		of("cpu_usage_seconds_total:sum_irate", "busy", "app"):  `irate(sandmeter_sandbox_cpu_seconds_total{pod_name="busy"}[5m])`,
		of("memory_working_set_bytes", "busy", "app"):           `sandmeter_sandbox_memory_bytes{pod_name="busy"}`,
		of("memory_working_set_bytes", "web", "user"):           `sandmeter_container_memory_bytes{namespace_name="shop", pod_name="web", container="user"}`,
		of("memory_working_set_bytes", "web", "idle"):           `sandmeter_container_memory_bytes{namespace_name="shop", pod_name="web", container="idle"}`,
		of("memory_working_set_bytes", "plain", "app"):          `container_memory_working_set_bytes{instance!="", pod="plain", container="app"}`,
	} {
		n.until(func() error { return p.equals(selector, expr) })
	}
	// The pod's own row is kubelet's, and is the sum of its containers.
	n.until(func() error {
		whole, err := p.value(`container_cpu_usage_seconds_total{namespace="shop", pod="done", container="", image=""}`, "")
		if err != nil {
			return err
		}
		parts, err := p.value(`sum(container_cpu_usage_seconds_total{namespace="shop", pod="done", container!=""})`, "")
		if err != nil || parts < whole*0.9 || parts > whole*1.1 {
			return fmt.Errorf("the container used %v s, its pod %v (%v)", parts, whole, err)
		}
		return nil
	})
}
