package charts

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// files returns the contents of files. That there are none is an error.
func files(t *testing.T, glob string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(glob)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files %s (%v)", glob, err)
	}
	all := map[string]string{}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[path] = string(content)
	}
	return all
}

// TestDashboards checks that the ConfigMaps have all dashboards of the mixin, byte for byte.
func TestDashboards(t *testing.T) {
	dashboards := objects[core.ConfigMap](t, values{"dashboards": values{
		"enabled": true, "namespace": "grafana", "annotations": values{"grafana_folder": "gVisor"},
	}})
	want := files(t, "../mixin/dashboards/*.json")
	if len(dashboards) != len(want) {
		t.Errorf("%d ConfigMaps for %d dashboards", len(dashboards), len(want))
	}
	for _, m := range dashboards {
		if m.Namespace != "grafana" || m.Labels["grafana_dashboard"] != "1" || m.Annotations["grafana_folder"] != "gVisor" {
			t.Errorf("%s is in namespace %s with labels %v and annotations %v", m.Name, m.Namespace, m.Labels, m.Annotations)
		}
	}
	for path, content := range want {
		name := filepath.Base(path)
		i := slices.IndexFunc(dashboards, func(m *core.ConfigMap) bool { return m.Data["sandmeter-"+name]+"\n" == content })
		if i < 0 {
			t.Errorf("no ConfigMap has %s as it is", path)
		}
	}
}

// TestRules checks that the PrometheusRule has all groups of the rule files of the mixin.
func TestRules(t *testing.T) {
	rules := objects[monitoring.PrometheusRule](t, values{"prometheusRule": values{"enabled": true, "labels": values{"release": "prometheus"}}})
	if len(rules) != 1 || rules[0].Labels["release"] != "prometheus" {
		t.Fatalf("PrometheusRules %v", rules)
	}
	var want []monitoring.RuleGroup
	all := files(t, "../mixin/rules/*.yaml")
	for _, path := range slices.Sorted(maps.Keys(all)) {
		var file monitoring.PrometheusRuleSpec
		if err := yaml.UnmarshalStrict([]byte(all[path]), &file); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		want = append(want, file.Groups...)
	}
	if have := rules[0].Spec.Groups; !reflect.DeepEqual(have, want) {
		t.Errorf("groups %v, want %v", have, want)
	}
}

// TestCommands checks that commands keep the values of a release and take new defaults, without which
// a chart with a new value does not render: --reuse-values ignores the defaults.
func TestCommands(t *testing.T) {
	files, err := filepath.Glob("../docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no docs (%v)", err)
	}
	upgrades := 0
	for _, file := range append(files, "../README.md", readmeFile, chartDir+"/templates/NOTES.txt") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		upgrades += strings.Count(string(text), " --reset-then-reuse-values")
		if strings.Contains(string(text), " --reuse-values") {
			t.Errorf("%s has --reuse-values instead of --reset-then-reuse-values", file)
		}
	}
	if upgrades == 0 {
		t.Error("no command upgrades the chart")
	}
}
