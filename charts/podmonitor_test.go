package charts

import (
	"os"
	"reflect"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"sigs.k8s.io/yaml"
)

// endpoint returns the only endpoint of the PodMonitor.
func endpoint(t *testing.T, v values) monitoring.PodMetricsEndpoint {
	t.Helper()
	monitors := objects[monitoring.PodMonitor](t, v)
	if len(monitors) != 1 || len(monitors[0].Spec.PodMetricsEndpoints) != 1 {
		t.Fatalf("not one PodMonitor with one endpoint: %v", monitors)
	}
	return monitors[0].Spec.PodMetricsEndpoints[0]
}

// TestCadvisorRelabelings checks that a PodMonitor relabels cAdvisor's families as docs/metrics.md
// recommends.
func TestCadvisorRelabelings(t *testing.T) {
	f := func(usage string, besideKubelet bool, want []monitoring.RelabelConfig) {
		t.Helper()
		have := endpoint(t, values{"usage": usage, "podMonitor": values{"enabled": true, "besideKubelet": besideKubelet}}).MetricRelabelConfigs
		if len(have) != len(want) || len(have) > 0 && !reflect.DeepEqual(have, want) {
			t.Errorf("usage %s: metric relabelings %+v, want %+v", usage, have, want)
		}
	}
	want := recommended(t)
	f("own", true, nil)
	f("off", true, nil)
	f("cadvisor", true, want)
	f("own,cadvisor", true, want)
	f("own,cadvisor", false, want[1:]) // without the rule that drops what kubelets have
}

// recommended returns the rules in docs/metrics.md as those of a PodMonitor.
func recommended(t *testing.T) (rules []monitoring.RelabelConfig) {
	t.Helper()
	text, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "```yaml\nscrape_configs:")
	block, _, ok := strings.Cut(block, "```")
	var file struct {
		ScrapeConfigs []struct {
			MetricRelabelConfigs []struct {
				SourceLabels []monitoring.LabelName `json:"source_labels"`
				TargetLabel  string                 `json:"target_label"`
				Replacement  *string
				Regex        string
				Action       string
			} `json:"metric_relabel_configs"`
		} `json:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte("scrape_configs:"+block), &file); err != nil || !ok || len(file.ScrapeConfigs) != 1 {
		t.Fatalf("docs/metrics.md has no scrape configuration (%v)", err)
	}
	for _, r := range file.ScrapeConfigs[0].MetricRelabelConfigs {
		rules = append(rules, monitoring.RelabelConfig{
			SourceLabels: r.SourceLabels, TargetLabel: r.TargetLabel, Replacement: r.Replacement, Regex: r.Regex, Action: r.Action,
		})
	}
	if len(rules) != 3 {
		t.Fatalf("docs/metrics.md has %d rules instead of 3", len(rules))
	}
	return rules
}
