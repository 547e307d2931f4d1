package page

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

// documented is a family in docs/metrics.md.
type documented struct{ Prometheus, Runsc, Type, Unit, Labels, Meaning, Stability string }

// TestDocs: docs/metrics.md lists the server's own families, and those of the registration of the
// pinned runsc, which an end-to-end test compares with that of a real sandbox.
func TestDocs(t *testing.T) {
	const file = "../../docs/metrics.md"
	registered, err := schema.Compile(simulate.RealRegistration().JSON())
	if err != nil {
		t.Fatal(err)
	}
	totals := families.TotalsSchema([]snapshot.TotalsCounter{{Name: "fs_opens"}}, true, true)
	var text bytes.Buffer
	err = template.Must(template.ParseFiles("testdata/metrics.md.tmpl")).Execute(&text, map[string]any{
		"Sandbox":    document(families.Sandbox, "stable", naming.own),
		"Server":     document(families.Server, "stable", naming.own),
		"Usage":      document(families.Usage, "stable", naming.own),
		"Cadvisor":   document(families.Cadvisor, "cAdvisor's", naming.own),
		"Totals":     document(totals, "stable", naming.own),
		"Registered": document(registered, "runsc's", naming.reported),
		"Process":    processFamilies,
	})
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, text.Bytes()) {
		t.Errorf("%s is stale (%v): go test ./internal/page -update writes it", file, err)
	}
}

// processFamilies are the families about the process that alerts and dashboards use.
var processFamilies = []string{"process_cpu_seconds_total", "process_open_fds", "process_max_fds", "process_resident_memory_bytes",
	"process_start_time_seconds", "go_goroutines", "go_memstats_heap_inuse_bytes"}

func document(s *schema.Schema, stability string, name func(naming, *schema.Metric) title) []documented {
	prometheus, runsc := naming{PrometheusNaming, "runsc_", families.BothNames}, naming{RunscNaming, "runsc_", families.BothNames}
	var all []documented
	for i := range s.Metrics {
		m := &s.Metrics[i]
		new, old := name(prometheus, m), name(runsc, m)
		all = append(all, documented{new.name, old.name, m.Type.String(), unitOf(new.name, m), labelsOf(m), sentence(new.help), stability})
	}
	slices.SortFunc(all, func(a, b documented) int { return strings.Compare(a.Prometheus, b.Prometheus) })
	return all
}

// unitOf returns the unit of a family in PrometheusNaming, and that in RunscNaming if it differs.
func unitOf(name string, m *schema.Metric) string {
	name = strings.TrimSuffix(name, "_total")
	for _, unit := range []string{"seconds", "bytes"} {
		if strings.HasSuffix(name, unit) {
			if m.Unit != schema.NoUnit && !m.Whole {
				return unit + " (" + m.Unit.String() + ")"
			}
			return unit
		}
	}
	return ""
}

func labelsOf(m *schema.Metric) string {
	var labels []string
	for _, name := range m.SetLabels {
		labels = append(labels, "`"+name+"`")
	}
	for i := range m.Fields {
		f := &m.Fields[i]
		labels = append(labels, fmt.Sprintf("`%s` (%d)", f.Name, len(f.Values)))
	}
	return strings.Join(labels, ", ")
}

// sentence returns a HELP text for a cell of a table.
func sentence(help string) string {
	return strings.TrimSuffix(strings.ReplaceAll(help, "|", `\|`), ".") + "."
}
