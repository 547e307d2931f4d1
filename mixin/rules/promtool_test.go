package rules

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"go.yaml.in/yaml/v3"
)

// tests returns the files with tests of rules.
func tests(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("tests/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no tests: %v", err)
	}
	return files
}

// TestPromtool runs promtool's tests of the rules, and its linter.
func TestPromtool(t *testing.T) {
	promtool(t, "check", "rules", "--lint-fatal", "alerts.yaml", "recording.yaml")
	promtool(t, append([]string{"test", "rules"}, tests(t)...)...)
}

// promtool fails the test if promtool finds a fault.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	program, err := filepath.Abs("../../bin/promtool")
	if err == nil {
		_, err = os.Stat(program)
	}
	if err != nil {
		unavailable(t, err)
	}
	if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, out)
	}
}

// unavailable skips a test that needs a program of make peers, or fails it where CI has them all.
func unavailable(t *testing.T, err error) {
	t.Helper()
	err = errors.Join(err, errors.New("run make peers"))
	if os.Getenv("SANDMETER_REQUIRE_RUNSC") == "1" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// TestCases: promtool's tests have for each alert a case in which it fires and one in which it does not,
// with the texts that people read, and for each recording rule one with a value.
func TestCases(t *testing.T) {
	fires, silent, recorded := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, file := range tests(t) {
		var doc struct {
			Tests []struct {
				Alerts []struct {
					Name   string `yaml:"alertname"`
					Wanted []struct {
						Annotations map[string]string `yaml:"exp_annotations"`
					} `yaml:"exp_alerts"`
				} `yaml:"alert_rule_test"`
				Exprs []struct {
					Expr   string `yaml:"expr"`
					Wanted []any  `yaml:"exp_samples"`
				} `yaml:"promql_expr_test"`
			}
		}
		if err := yaml.Unmarshal([]byte(read(t, file)), &doc); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, test := range doc.Tests {
			for _, a := range test.Alerts {
				fires[a.Name] = fires[a.Name] || len(a.Wanted) > 0 && a.Wanted[0].Annotations["description"] != ""
				silent[a.Name] = silent[a.Name] || len(a.Wanted) == 0
			}
			for _, e := range test.Exprs {
				recorded[e.Expr] = recorded[e.Expr] || len(e.Wanted) > 0
			}
		}
	}
	for _, a := range loadAlerts(t) {
		if !fires[a.Alert] || !silent[a.Alert] {
			t.Errorf("%s has a case in which it fires: %t, and one in which it does not: %t", a.Alert, fires[a.Alert], silent[a.Alert])
		}
	}
	for _, r := range loadRecordings(t) {
		if !recorded[r.Record] {
			t.Errorf("%s has no case in which it has a value", r.Record)
		}
	}
}

// TestPinnedParser: the parser of these tests is that of the Prometheus in tools/prometheus.
func TestPinnedParser(t *testing.T) {
	pinned := func(file string) string {
		t.Helper()
		m := regexp.MustCompile(`github.com/prometheus/prometheus (v\S+)`).FindStringSubmatch(read(t, file))
		if m == nil {
			t.Fatalf("%s requires no Prometheus", file)
		}
		return m[1]
	}
	if got, want := pinned("../go.mod"), pinned("../../tools/prometheus/go.mod"); got != want {
		t.Errorf("the parser is that of Prometheus %s, want %s: cd mixin && go get github.com/prometheus/prometheus@%s", got, want, want)
	}
}
