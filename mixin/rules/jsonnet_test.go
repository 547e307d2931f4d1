package rules

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/go-jsonnet"
	"go.yaml.in/yaml/v3"
)

// evaluate returns the value of a jsonnet expression, in which mixin is the mixin.
func evaluate(t *testing.T, expr string) (value any) {
	t.Helper()
	vm := jsonnet.MakeVM()
	vm.Importer(&jsonnet.FileImporter{JPaths: []string{".."}})
	text, err := vm.EvaluateAnonymousSnippet("test.jsonnet", "local mixin = import 'mixin.libsonnet'; "+expr)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// parsed returns the value of a file, YAML or JSON, as encoding/json has it.
func parsed(t *testing.T, path string) (value any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, path)), &value); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	value = nil
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// TestJsonnet: the library for jsonnet has what the files have.
func TestJsonnet(t *testing.T) {
	if got := evaluate(t, "mixin.prometheusAlerts"); !reflect.DeepEqual(got, parsed(t, "alerts.yaml")) {
		t.Errorf("prometheusAlerts is %v", got)
	}
	if got := evaluate(t, "mixin.prometheusRules"); !reflect.DeepEqual(got, parsed(t, "recording.yaml")) {
		t.Errorf("prometheusRules is %v", got)
	}
}

// TestJsonnetDashboards: the library has every dashboard.
func TestJsonnetDashboards(t *testing.T) {
	files, err := filepath.Glob("../dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no dashboards: %v", err)
	}
	want := map[string]any{}
	for _, file := range files {
		want["sandmeter-"+filepath.Base(file)] = parsed(t, file)
	}
	if got := evaluate(t, "mixin.grafanaDashboards"); !reflect.DeepEqual(got, any(want)) {
		t.Errorf("grafanaDashboards is %v", got)
	}
}

// TestJsonnetExample: the example of the README leaves out one alert, raises the severity of another, and
// leaves the others alone.
func TestJsonnetExample(t *testing.T) {
	changed := evaluate(t, "("+example(t, readme, "jsonnet")+").prometheusAlerts")
	severities := map[string]any{}
	for _, group := range changed.(map[string]any)["groups"].([]any) {
		for _, rule := range group.(map[string]any)["rules"].([]any) {
			r := rule.(map[string]any)
			severities[r["alert"].(string)] = r["labels"].(map[string]any)["severity"]
		}
	}
	if severities["SandmeterSuspiciousOperation"] != nil || severities["SandmeterSandboxStalled"] != "critical" || severities["SandmeterDown"] != "warning" {
		t.Errorf("the severities are %v", severities)
	}
}
