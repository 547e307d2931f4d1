package dashboards

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

var update = flag.Bool("update", false, "write the JSON files of the dashboards")

// TestCurrent: the files that people import are what the code writes.
func TestCurrent(t *testing.T) {
	files, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if *update {
			if err := os.WriteFile(name, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not current (%v): run go test ./dashboards -update", name, err)
		}
	}
}

// A document is a dashboard as far as tests read it.
type document struct {
	UID           string
	Title         string
	Description   string
	SchemaVersion int
	Tags          []string
	Panels        []panelDocument
	Templating    struct {
		List []struct{ Name, Type, Query string }
	}
	Annotations struct {
		List []struct{ Name, Expr string }
	}
	text string
}

type panelDocument struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Targets                  []struct{ Expr, LegendFormat, RefID string }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	text                     string
}

// UnmarshalJSON keeps the text, too.
func (p *panelDocument) UnmarshalJSON(text []byte) error {
	type plain panelDocument
	p.text = string(text)
	return json.Unmarshal(text, (*plain)(p))
}

func documents(t *testing.T) map[string]document {
	t.Helper()
	files, err := All()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]document)
	for name, text := range files {
		d := document{text: string(text)}
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = d
	}
	return all
}

// expressions returns all expressions of a dashboard, by where they are.
func (d document) expressions() map[string]string {
	all := make(map[string]string)
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all[p.Title+" "+target.RefID] = target.Expr
		}
	}
	for _, a := range d.Annotations.List {
		if a.Expr != "" {
			all["annotation "+a.Name] = a.Expr
		}
	}
	for _, v := range d.Templating.List {
		if series := regexp.MustCompile(`^label_values\((.*), \w+\)$`).FindStringSubmatch(v.Query); series != nil {
			all["variable "+v.Name] = series[1]
		}
	}
	return all
}

// plain replaces what Grafana replaces before it sends an expression.
var plain = strings.NewReplacer("$__rate_interval", "1m", "$__range", "1h")

// TestExpressions: every expression is valid PromQL, and names only families that docs/metrics.md
// lists, apart from the one that Prometheus itself has for each target.
func TestExpressions(t *testing.T) {
	known := documented(t)
	known["up"] = true
	p := parser.NewParser(parser.Options{})
	for file, d := range documents(t) {
		for where, expr := range d.expressions() {
			tree, err := p.ParseExpr(plain.Replace(expr))
			if err != nil {
				t.Errorf("%s, %s: %v", file, where, err)
				continue
			}
			for _, name := range families(tree) {
				if !known[name] {
					t.Errorf("%s, %s: docs/metrics.md does not list %q", file, where, name)
				}
			}
		}
	}
}

// TestParserVersion: the parser is that of the Prometheus that the tests run.
func TestParserVersion(t *testing.T) {
	version := func(file string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(regexp.MustCompile(`github\.com/prometheus/prometheus v\S+`).Find(text))
	}
	if ours, theirs := version("../go.mod"), version("../../tools/prometheus/go.mod"); ours != theirs || ours == "" {
		t.Errorf("mixin requires %q, tools/prometheus %q: run go get %s in mixin", ours, theirs, strings.Replace(theirs, " ", "@", 1))
	}
}

// families returns the names of the families that an expression reads.
func families(tree parser.Expr) []string {
	var names []string
	parser.Inspect(tree, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			name := s.Name
			for _, m := range s.LabelMatchers {
				if m.Name == model.MetricNameLabel && m.Type != labels.MatchEqual {
					name = m.String() // no name of a family, so never known
				}
			}
			names = append(names, strings.TrimSuffix(name, "_bucket"))
		}
		return nil
	})
	return names
}

// documented returns the families in the tables of docs/metrics.md, and those of the server's process
// in its text.
func documented(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]bool)
	for _, pattern := range []string{"(?m)^\\| `([a-z][a-z0-9_]*)` \\|", "`((?:process|go)_[a-z_]+)`"} {
		for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			known[match[1]] = true
		}
	}
	if len(known) < 250 {
		t.Fatalf("docs/metrics.md lists only %d families", len(known))
	}
	return known
}

// TestVariables: every variable that a dashboard uses is one of its own or Grafana's, and it uses
// all that it has.
func TestVariables(t *testing.T) {
	grafanas := []string{"__rate_interval", "__range", "__url_time_range", "__data", "__value", "__field", "__all"}
	for file, d := range documents(t) {
		own := make(map[string]bool)
		for _, v := range d.Templating.List {
			own[v.Name] = false
		}
		for _, match := range regexp.MustCompile(`\$\{?([a-z_]+)`).FindAllStringSubmatch(d.text, -1) {
			if _, ok := own[match[1]]; ok {
				own[match[1]] = true
			} else if !slices.Contains(grafanas, match[1]) {
				t.Errorf("%s uses the variable %q, which it does not have", file, match[1])
			}
		}
		for _, name := range slices.Sorted(maps.Keys(own)) {
			if !own[name] {
				t.Errorf("%s does not use its variable %q", file, name)
			}
		}
	}
}

// TestLinks: every link leads to one of the dashboards, sets variables that it has, and takes values
// from columns of its table or from labels by which the query of its graph adds up.
func TestLinks(t *testing.T) {
	all := documents(t)
	variables := make(map[string][]string) // by UID
	for _, d := range all {
		for _, v := range d.Templating.List {
			variables[d.UID] = append(variables[d.UID], v.Name)
		}
	}
	links := 0
	for file, d := range all {
		for _, p := range d.Panels {
			for _, match := range regexp.MustCompile(`"url": ?"/d/([^?"]*)\?([^"]*)"`).FindAllStringSubmatch(p.text, -1) {
				links++
				for _, v := range regexp.MustCompile(`var-(\w+)=|\{(\w+):queryparam`).FindAllStringSubmatch(match[2], -1) {
					if name := v[1] + v[2]; !slices.Contains(variables[match[1]], name) {
						t.Errorf("%s, %s: the dashboard %q has no variable %q", file, p.Title, match[1], name)
					}
				}
				for _, l := range regexp.MustCompile(`(fields|labels)\.(\w+)`).FindAllStringSubmatch(match[2], -1) {
					if by := regexp.MustCompile(`by \([a-z_, ]*\b` + l[2] + `\b`); !by.MatchString(p.text) {
						t.Errorf("%s, %s: no query has the label %q of the link", file, p.Title, l[2])
					}
				}
			}
		}
	}
	if links < 8 {
		t.Errorf("only %d links", links)
	}
}

// TestPanels: what every dashboard and every panel has.
func TestPanels(t *testing.T) {
	for file, d := range documents(t) {
		if d.UID != "sandmeter-"+strings.TrimSuffix(file, ".json") || !slices.Equal(d.Tags, []string{"sandmeter"}) || d.SchemaVersion < 42 || d.Description == "" {
			t.Errorf("%s has UID %q, tags %q, schema %d, description %q", file, d.UID, d.Tags, d.SchemaVersion, d.Description)
		}
		if strings.Contains(d.text, "__inputs") {
			t.Errorf("%s has __inputs: an import has to work without questions", file)
		}
		titles, panels, taken := make(map[string]bool), 0, make(map[[2]int]string)
		for _, p := range d.Panels {
			if titles[p.Title] {
				t.Errorf("%s has two panels %q", file, p.Title)
			}
			titles[p.Title] = true
			if p.Type == "row" {
				continue
			}
			if panels++; !strings.HasSuffix(p.Description, ".") || len(p.Targets) == 0 {
				t.Errorf("%s, %s: no description of whole sentences, or no query", file, p.Title)
			}
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
						t.Fatalf("%s: %q lies on %q, or beyond the right edge", file, p.Title, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
			if p.Type == "timeseries" && p.FieldConfig.Defaults.Unit == "" {
				t.Errorf("%s, %s has no unit", file, p.Title)
			}
		}
		if panels > 24 {
			t.Errorf("%s has %d panels", file, panels)
		}
	}
}

// TestStrict: the documents have no field that Grafana does not know, as far as the SDK describes it.
func TestStrict(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	files, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		// Without problems it returns an empty list of them.
		//lint:ignore SA1019 see builder
		if err := new(dashboard.Dashboard).UnmarshalJSONStrict(text); err != nil && err.Error() != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
