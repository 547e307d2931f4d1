package rules

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const readme = "../README.md"

// example returns the only example in a language of a document.
func example(t *testing.T, path, language string) string {
	t.Helper()
	found := regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(read(t, path), -1)
	if len(found) != 1 {
		t.Fatalf("%s has %d examples in %s, want one", path, len(found), language)
	}
	return found[0][1]
}

// TestReadmeOperator: the commands of the README make a PrometheusRule of each file.
func TestReadmeOperator(t *testing.T) {
	commands, ok := strings.CutSuffix(example(t, readme, "sh"), "| kubectl apply --namespace monitoring -f -\n")
	if !ok {
		t.Fatal("the example does not end with kubectl")
	}
	shell := exec.CommandContext(t.Context(), "sh", "-c", commands)
	shell.Dir = ".."
	out, err := shell.Output()
	if err != nil {
		t.Fatal(err)
	}
	documents := yaml.NewDecoder(bytes.NewReader(out))
	for _, name := range []string{"alerts", "recording"} {
		var rule struct {
			Kind     string
			Metadata struct{ Name string }
			Spec     any
		}
		if err := documents.Decode(&rule); err != nil {
			t.Fatal(err)
		}
		var want any
		if err := yaml.Unmarshal([]byte(read(t, name+".yaml")), &want); err != nil {
			t.Fatal(err)
		}
		if rule.Kind != "PrometheusRule" || rule.Metadata.Name != "sandmeter-"+name || !reflect.DeepEqual(rule.Spec, want) {
			t.Errorf("the rule of %s.yaml is %+v", name, rule)
		}
	}
	if err := documents.Decode(new(any)); !errors.Is(err, io.EOF) {
		t.Errorf("there is a third document: %v", err)
	}
}

// TestReadmeAlerts: the table of the README has every alert with its severity.
func TestReadmeAlerts(t *testing.T) {
	rows := regexp.MustCompile("\\| `(Sandmeter[A-Za-z]+)` \\| ([a-z]+) \\|").FindAllStringSubmatch(read(t, readme), -1)
	got := map[string]string{}
	for _, row := range rows {
		got[row[1]] = row[2]
	}
	want := map[string]string{}
	for _, a := range loadAlerts(t) {
		want[a.Alert] = a.Labels["severity"]
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the README has the alerts %v, want %v", got, want)
	}
}
