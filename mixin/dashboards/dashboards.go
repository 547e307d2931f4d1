// Package dashboards has the Grafana dashboards of Sandmeter as code: one about all servers by
// namespace, one about a server and its sandboxes, and one about a sandbox. The JSON files beside it
// are what people import; go test -update writes them.
package dashboards

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// The UIDs of the dashboards. Links between them use these, so they never change.
const (
	fleetUID   = "sandmeter-fleet"
	nodeUID    = "sandmeter-node"
	sandboxUID = "sandmeter-sandbox"
)

// A builder is the SDK's builder of dashboards in the first schema, which every Grafana can import. The
// SDK deprecates it in favor of the second schema, which only recent versions know.
//
//lint:ignore SA1019 see above
type builder = dashboard.DashboardBuilder

// tag marks the dashboards, so that each can link to the others.
const tag = "sandmeter"

// All returns the JSON documents of the dashboards, by the names of their files.
func All() (map[string][]byte, error) {
	files := make(map[string][]byte)
	for name, b := range map[string]*builder{
		"fleet.json":   fleet(),
		"node.json":    node(),
		"sandbox.json": sandbox(),
	} {
		document, err := marshal(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name] = document
	}
	return files, nil
}

// marshal returns the document of a dashboard. Panels get IDs, so that people can link to one. The SDK puts links and annotations into a menu that
// is closed at first; here they are in sight.
func marshal(b *builder) ([]byte, error) {
	d, err := b.Build()
	if err != nil {
		return nil, err
	}
	for i, p := range d.Panels {
		if id := cog.ToPtr(uint32(i + 1)); p.Panel != nil {
			p.Panel.Id = id
		} else {
			p.RowPanel.Id = *id
		}
	}
	for i := range d.Links {
		d.Links[i].Placement = nil
	}
	for i := range d.Annotations.List {
		d.Annotations.List[i].Placement = nil
	}
	document, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(readable(document), '\n'), nil
}

// readable replaces the escapes with which encoding/json prepares documents for HTML, so that
// expressions and links look as people write them.
func readable(document []byte) []byte {
	for escape, text := range map[string]string{`\u0026`: "&", `\u003c`: "<", `\u003e`: ">"} {
		document = bytes.ReplaceAll(document, []byte(escape), []byte(text))
	}
	return document
}

// newDashboard returns a dashboard without variables and panels.
func newDashboard(uid, title, description string) *builder {
	//lint:ignore SA1019 see builder
	return dashboard.NewDashboardBuilder(title).
		Uid(uid).
		Description(description).
		Tags([]string{tag}).
		Time("now-1h", "now").
		Refresh("30s").
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Link(dashboard.NewDashboardLinkBuilder("Sandmeter").
			Type(dashboard.DashboardLinkTypeDashboards).
			Tags([]string{tag}).
			IncludeVars(true).
			KeepTime(true))
}

// source is the data source of every panel, variable and annotation: the one that the user selects.
func source() common.DataSourceRef {
	return common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${datasource}")}
}

// event returns an annotation that marks when something happened. The value of each series is a
// Unix timestamp in seconds.
func event(name, color, expr, title string) *dashboard.AnnotationQueryBuilder {
	return dashboard.NewAnnotationQueryBuilder().
		Name(name).
		Datasource(source()).
		Enable(true).
		IconColor(color).
		Expr("1000 * (" + expr + ")").
		UseValueForTime(true).
		TitleFormat(title)
}
