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

// TestJsonnet: the library for jsonnet has what the files have, and every dashboard.
func TestJsonnet(t *testing.T) {
	dashboards := map[string]any{}
	files, err := filepath.Glob("../dashboards/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		dashboards["sandmeter-"+filepath.Base(file)] = parsed(t, file)
	}
	for field, want := range map[string]any{"prometheusAlerts": parsed(t, "alerts.yaml"), "prometheusRules": parsed(t, "recording.yaml"), "grafanaDashboards": dashboards} {
		if got := evaluate(t, "mixin."+field); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v", field, got)
		}
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
