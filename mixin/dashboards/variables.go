package dashboards

import (
	"fmt"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// The matchers of each variable. Labels that a series may lack also match if they are absent, as
// long as all values are selected.
const (
	ofServer    = `job=~"$job",instance=~"$instance"`
	ofRoot      = ofServer + `,runtime_root=~"$runtime_root"`
	ofNamespace = ofServer + `,namespace_name=~"$namespace"`
	ofGroup     = ofServer + `,group=~"$namespace"`
	ofSandbox   = ofRoot + `,namespace_name=~"$namespace",pod_name=~"$pod",sandbox=~"$sandbox",iteration=~"$iteration"`
)

// in completes an expression: {@} becomes the matchers of a selection, also with further ones, as in
// {@,reason="stalled"}.
func in(matchers, expr string) string {
	return strings.NewReplacer("{@}", "{"+matchers+"}", "{@,", "{"+matchers+",").Replace(expr)
}

// dataSource is the variable with which users select a Prometheus.
func dataSource() *dashboard.DatasourceVariableBuilder {
	return dashboard.NewDatasourceVariableBuilder("datasource").
		Label("Data source").
		Type("prometheus")
}

// A choice is a variable whose values are those of a label.
type choice struct {
	name, label, description string
	family                   string // whose series have the label
	of                       string // matchers of those series
	by                       string // the label
	single                   bool   // exactly one value; otherwise several, or all
	all                      string // matches all values, and series without the label
}

func (c choice) variable() *dashboard.QueryVariableBuilder {
	query := fmt.Sprintf("label_values(%s{%s}, %s)", c.family, c.of, c.by)
	if c.of == "" {
		query = fmt.Sprintf("label_values(%s, %s)", c.family, c.by)
	}
	v := dashboard.NewQueryVariableBuilder(c.name).
		Label(c.label).
		Description(c.description).
		Datasource(source()).
		Query(dashboard.StringOrMap{String: &query}).
		Definition(query).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Sort(dashboard.VariableSortNaturalAsc).
		Multi(!c.single)
	if c.all != "" {
		v.IncludeAll(true).AllValue(c.all).Current(dashboard.VariableOption{
			Text:  dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}},
			Value: dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}},
		})
	}
	return v
}

// Variables that several dashboards have. Series are recognized by their names, so any name of a job
// will do.
var (
	jobs = choice{name: "job", label: "Job", description: "Jobs of Prometheus that scrape Sandmeter.",
		family: "sandmeter_metric_server_presence", by: "job", all: ".+"}
	nodes = choice{name: "instance", label: "Node", description: "Servers, by the address that Prometheus scrapes.",
		family: "sandmeter_metric_server_presence", of: `job=~"$job"`, by: "instance", all: ".+"}
	roots = choice{name: "runtime_root", label: "Runtime root", description: "Series have this label only if their server serves several runtime roots.",
		family: "sandmeter_sandbox_presence", of: ofServer, by: "runtime_root", all: ".*"}
	namespaces = choice{name: "namespace", label: "Namespace", description: "Kubernetes namespaces. Sandboxes that belong to no pod have none; All includes them.",
		family: "sandmeter_sandbox_presence", of: ofServer, by: "namespace_name", all: ".*"}
)

// only returns the variable with exactly one value.
func (c choice) only() choice {
	c.single, c.all = true, ""
	return c
}

// with adds variables to a dashboard.
func with(d *builder, choices ...choice) *builder {
	d.WithVariable(dataSource())
	for _, c := range choices {
		d.WithVariable(c.variable())
	}
	return d
}
