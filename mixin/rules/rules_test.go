// Package rules tests the rules: what they select, how they are named and documented, and when each
// alert fires.
package rules

import (
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

const runbooks = "../../docs/runbooks.md"

// load returns the rules of a file, which Prometheus must accept.
func load(t *testing.T, path string) (rules []rulefmt.Rule) {
	t.Helper()
	groups, errs := rulefmt.ParseFile(path, false, model.LegacyValidation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for _, group := range groups.Groups {
		rules = append(rules, group.Rules...)
	}
	return rules
}

func loadAlerts(t *testing.T) []rulefmt.Rule     { t.Helper(); return load(t, "alerts.yaml") }
func loadRecordings(t *testing.T) []rulefmt.Rule { t.Helper(); return load(t, "recording.yaml") }

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAlerts: there are few alerts, and each has what a person who gets it needs.
func TestAlerts(t *testing.T) {
	all := loadAlerts(t)
	if len(all) == 0 || len(all) > 10 {
		t.Errorf("there are %d alerts, want 1 to 10", len(all))
	}
	for _, a := range all {
		complain := func(format string, args ...any) { t.Helper(); t.Errorf(a.Alert+": "+format, args...) }
		if !regexp.MustCompile(`^Sandmeter[A-Z][A-Za-z]+$`).MatchString(a.Alert) {
			complain("the name does not begin with Sandmeter")
		}
		if len(a.Labels) != 1 || !slices.Contains([]string{"critical", "warning", "info"}, a.Labels["severity"]) {
			complain("the labels are %v, want only a severity: critical, warning, or info", a.Labels)
		}
		for _, name := range []string{"summary", "description"} {
			if text := a.Annotations[name]; !strings.HasSuffix(text, ".") || strings.Contains(text, "\n") {
				complain("%s is not one line of sentences: %q", name, text)
			}
		}
		if strings.Contains(a.Annotations["summary"], "{{") {
			complain("the summary has a template, so notifications cannot be grouped by it")
		}
		want := "https://github.com/sandmeter/sandmeter/blob/main/docs/runbooks.md#" + strings.ToLower(a.Alert)
		if got := a.Annotations["runbook_url"]; got != want {
			complain("runbook_url is %q, want %q", got, want)
		}
		// Without one, a single evaluation is enough, so the expression must look back.
		if a.For == 0 && !strings.Contains(a.Expr, "[") {
			complain("there is neither a duration nor a range in the expression")
		}
	}
}

// TestRunbooks: each alert has a section in the runbooks with the same parts, and each section an
// alert, in the same order.
func TestRunbooks(t *testing.T) {
	var names []string
	for _, a := range loadAlerts(t) {
		names = append(names, a.Alert)
	}
	sections := strings.Split(read(t, runbooks), "\n## ")[1:]
	var headings []string
	for _, section := range sections {
		heading, text, _ := strings.Cut(section, "\n")
		headings = append(headings, heading)
		at := 0
		for _, part := range []string{"**Meaning.** ", "**Impact.** ", "**Diagnosis.** ", "**Mitigation.** "} {
			found := strings.Index(text[at:], part)
			if found < 0 {
				t.Errorf("%s has no %s after the parts before it", heading, part)
				break
			}
			at += found
		}
	}
	if !slices.Equal(headings, names) {
		t.Errorf("the runbooks are about %q, the alerts are %q", headings, names)
	}
}

// TestReasons: each reason why a sandbox has no metrics belongs to exactly one alert, and alerts name
// no others.
func TestReasons(t *testing.T) {
	alertsOf := make(map[string][]string)
	for _, a := range loadAlerts(t) {
		for _, reason := range wanted(t, a.Expr, "sandmeter_sandboxes_failed", "reason") {
			alertsOf[reason] = append(alertsOf[reason], a.Alert)
		}
	}
	for _, reason := range failure.Reasons {
		if reason == failure.RootHung { // its root is not readable, which is an alert
			continue
		}
		if got := alertsOf[string(reason)]; len(got) != 1 {
			t.Errorf("the reason %s is in the alerts %q, want exactly one", reason, got)
		}
		delete(alertsOf, string(reason))
	}
	if len(alertsOf) > 0 {
		t.Errorf("there are no such reasons: %v", alertsOf)
	}
}

// TestOutcomes: outcomes in rules exist.
func TestOutcomes(t *testing.T) {
	named := 0
	for _, rule := range slices.Concat(loadAlerts(t), loadRecordings(t)) {
		for _, family := range []string{"sandmeter_sandbox_outcome", "sandmeter_sandboxes_ended_total"} {
			for _, outcome := range wanted(t, rule.Expr, family, "outcome") {
				named++
				if !slices.Contains(snapshot.Outcomes, snapshot.Outcome(outcome)) {
					t.Errorf("%s: there is no outcome %q", rule.Alert+rule.Record, outcome)
				}
			}
		}
	}
	if named == 0 {
		t.Error("no rule names an outcome")
	}
}

// wanted returns the values that an expression selects of a family's label, which it gives as a list of
// alternatives.
func wanted(t *testing.T, expr, family, label string) (values []string) {
	t.Helper()
	for _, s := range selectors(parse(t, expr)) {
		for _, m := range s.LabelMatchers {
			if s.Name == family && m.Name == label {
				values = append(values, strings.Split(m.Value, "|")...)
			}
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// TestRecordings: names are level:metric:operations, where the level has the labels of the result
// besides cluster and job, and the metric is that of the expression, without _total if it is a rate.
func TestRecordings(t *testing.T) {
	for _, rule := range loadRecordings(t) {
		parts := strings.Split(rule.Record, ":")
		if len(parts) != 3 {
			t.Errorf("%s is not level:metric:operations", rule.Record)
			continue
		}
		level := "job"
		if labels := groupingOf(parse(t, rule.Expr)); len(labels) > 0 {
			level = strings.Join(labels, "_")
		}
		if parts[0] != level {
			t.Errorf("%s has the level %s, want %s", rule.Record, parts[0], level)
		}
		if parts[2] != "ratio" && !strings.Contains(rule.Expr, strings.TrimSuffix(parts[1], "_total")) {
			t.Errorf("%s is not about %s", rule.Record, parts[1])
		}
		if strings.HasPrefix(parts[2], "rate") == strings.HasSuffix(parts[1], "_total") && strings.HasPrefix(parts[2], "rate") {
			t.Errorf("%s is a rate of a _total", rule.Record)
		}
	}
}

// groupingOf returns the labels of the outermost aggregation besides cluster and job.
func groupingOf(expr parser.Expr) []string {
	var labels []string
	done := false
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if a, ok := node.(*parser.AggregateExpr); ok && !done {
			labels, done = a.Grouping, true
		}
		return nil
	})
	return slices.DeleteFunc(slices.Clone(labels), func(l string) bool { return l == "cluster" || l == "job" })
}
