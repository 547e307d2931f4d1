package rules

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// A family is what docs/metrics.md says about one.
type family struct {
	kind   string // counter, gauge, histogram; empty: not documented
	labels []string
}

// Labels that are not the server's.
var (
	ofTargets   = []string{"cluster", "job", "instance"}
	ofSandboxes = []string{"sandbox", "iteration", "pod_name", "namespace_name", "runtime_root"}
)

// sections are the sections of docs/metrics.md with families whose names rules may use, and whether
// these are about single sandboxes.
var sections = map[string]bool{
	"Families about sandboxes":            true,
	"What the host measures of sandboxes": true,
	"Families that sandboxes report":      true,
	"Totals over all sandboxes":           false,
	"Families about the server":           false,
}

var quoted = regexp.MustCompile("`([a-z_]+)`")

// documented returns the families of docs/metrics.md by name.
func documented(t *testing.T) map[string]family {
	t.Helper()
	families := map[string]family{"up": {kind: "gauge"}} // Prometheus's own
	for section := range strings.SplitSeq(read(t, "../../docs/metrics.md"), "\n## ") {
		heading, text, _ := strings.Cut(section, "\n")
		ofSandbox, ok := sections[heading]
		if !ok {
			continue
		}
		before := len(families)
		var header []string
		for line := range strings.Lines(text) {
			cells := cellsOf(line)
			switch {
			case slices.Contains(cells, "labels"):
				header = cells
			case len(cells) != len(header) || len(header) == 0:
				header = nil
			case strings.HasPrefix(cells[0], "`"):
				families[strings.Trim(cells[0], "`")] = documentedIn(header, cells, ofSandbox)
			}
		}
		if len(families) == before {
			t.Errorf("docs/metrics.md has no table of families in section %q", heading)
		}
	}
	// These are named in a sentence.
	for _, m := range regexp.MustCompile("`(process_[a-z_]+|go_[a-z_]+)`").FindAllStringSubmatch(read(t, "../../docs/metrics.md"), -1) {
		if _, ok := families[m[1]]; !ok {
			families[m[1]] = family{kind: "gauge"}
		}
	}
	return families
}

func cellsOf(line string) (cells []string) {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "|") {
		return nil
	}
	for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
		cells = append(cells, strings.TrimSpace(cell))
	}
	return cells
}

func documentedIn(header, cells []string, ofSandbox bool) family {
	f := family{kind: cells[slices.Index(header, "type")]}
	for _, m := range quoted.FindAllStringSubmatch(cells[slices.Index(header, "labels")], -1) {
		f.labels = append(f.labels, m[1])
	}
	if ofSandbox {
		f.labels = append(f.labels, ofSandboxes...)
	}
	f.labels = append(f.labels, "runtime_root")
	return f
}

func parse(t *testing.T, expr string) parser.Expr {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return parsed
}

// selectors returns the selectors of series in an expression.
func selectors(node parser.Node) (found []*parser.VectorSelector) {
	parser.Inspect(node, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			found = append(found, s)
		}
		return nil
	})
	return found
}

// TestExpressions: every expression of a rule names only families of docs/metrics.md, and only labels
// that these have, and takes rates of counters only.
func TestExpressions(t *testing.T) {
	families := documented(t)
	for _, rule := range slices.Concat(loadAlerts(t), loadRecordings(t)) {
		for _, fault := range faults(families, parse(t, rule.Expr)) {
			t.Errorf("%s: %s", rule.Alert+rule.Record, fault)
		}
	}
}

// TestRunbookQueries is TestExpressions for the queries of the runbooks. One of them counts the series of
// all families.
func TestRunbookQueries(t *testing.T) {
	families := documented(t)
	queries := regexp.MustCompile("(?s)```promql\n(.*?)```").FindAllStringSubmatch(read(t, runbooks), -1)
	if len(queries) == 0 {
		t.Error("the runbooks have no queries")
	}
	for _, query := range queries {
		for _, fault := range faults(families, parse(t, query[1])) {
			if fault != "no family with a name" {
				t.Errorf("%s: %s", query[1], fault)
			}
		}
	}
}

// TestDashboards: every expression of a dashboard, of its annotations and of its variables is valid PromQL,
// and names only families of docs/metrics.md.
func TestDashboards(t *testing.T) {
	families := documented(t)
	expression := regexp.MustCompile(`(?m)^ *"(?:expr": "(.*)|query": "label_values\((.*), \w+\))",?$`)
	replaced := strings.NewReplacer("$__rate_interval", "1m", "$__range", "1h", `\"`, `"`) // what Grafana and JSON replace
	for _, name := range []string{"fleet", "node", "sandbox"} {
		found := expression.FindAllStringSubmatch(read(t, "../dashboards/"+name+".json"), -1)
		if len(found) < 20 {
			t.Errorf("%s has %d expressions", name, len(found))
		}
		for _, m := range found {
			for _, s := range selectors(parse(t, replaced.Replace(m[1]+m[2]))) {
				if f, ok := families[strings.TrimSuffix(s.Name, "_bucket")]; !ok || strings.HasSuffix(s.Name, "_bucket") && f.kind != "histogram" {
					t.Errorf("%s: docs/metrics.md does not list %q", name, s.Name)
				}
			}
		}
	}
}

// faults returns what is wrong with an expression.
func faults(families map[string]family, expr parser.Expr) (all []string) {
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			all = append(all, faultsOfSelector(families, n)...)
		case *parser.AggregateExpr:
			all = append(all, faultsOfLabels(families, n, n.Grouping)...)
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				all = append(all, faultsOfLabels(families, n, slices.Concat(n.VectorMatching.MatchingLabels, n.VectorMatching.Include))...)
			}
		case *parser.Call:
			all = append(all, faultsOfCall(families, n)...)
		}
		return nil
	})
	return all
}

func faultsOfSelector(families map[string]family, s *parser.VectorSelector) (all []string) {
	f, ok := families[s.Name]
	switch {
	case s.Name == "":
		return []string{"no family with a name"}
	case !ok:
		return []string{"no family " + s.Name}
	}
	for _, m := range s.LabelMatchers {
		if m.Name != model.MetricNameLabel && !slices.Contains(f.labels, m.Name) && !slices.Contains(ofTargets, m.Name) {
			all = append(all, s.Name+" has no label "+m.Name)
		}
	}
	return all
}

// faultsOfLabels returns the labels that an operation names and none of its operands has. An operand
// without a name may have any.
func faultsOfLabels(families map[string]family, operation parser.Node, labels []string) (all []string) {
	known, names := map[string]bool{}, []string{}
	for _, s := range selectors(operation) {
		if s.Name == "" {
			return nil
		}
		names = append(names, s.Name)
		for _, label := range slices.Concat(families[s.Name].labels, ofTargets) {
			known[label] = true
		}
	}
	for _, label := range labels {
		if !known[label] {
			all = append(all, "none of "+strings.Join(names, ", ")+" has a label "+label)
		}
	}
	return all
}

func faultsOfCall(families map[string]family, call *parser.Call) (all []string) {
	for _, s := range selectors(call) {
		if name := call.Func.Name; slices.Contains([]string{"rate", "irate", "increase"}, name) && families[s.Name].kind != "counter" {
			all = append(all, name+" of the "+families[s.Name].kind+" "+s.Name)
		}
	}
	return all
}
