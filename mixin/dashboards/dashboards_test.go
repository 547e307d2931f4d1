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
		List []struct{ Name string }
	}
	text string
}

type panelDocument struct {
	Type, Title, Description string
	Targets                  []any
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
		titles, panels := make(map[string]bool), 0
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
			if p.Type == "timeseries" && p.FieldConfig.Defaults.Unit == "" {
				t.Errorf("%s, %s has no unit", file, p.Title)
			}
		}
		if panels > 24 {
			t.Errorf("%s has %d panels", file, panels)
		}
	}
}
