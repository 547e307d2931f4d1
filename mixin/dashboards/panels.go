package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// Units of Grafana, and our own.
const (
	cores       = "suffix:cores"
	perMinute   = "suffix:/min"
	ratio       = "percentunit"
	bytesIEC    = "bytes"
	bytesRate   = "binBps"
	packets     = "pps"
	perSecond   = "ops"
	connections = "cps"
	seconds     = "s"
	timestamp   = "dateTimeAsIso"
	count       = "none"
)

// The width of a dashboard, and parts of it.
const (
	full    = 24
	half    = full / 2
	third   = full / 3
	quarter = full / 4
	sixth   = full / 6
)

// Heights of panels.
const (
	low  = 4
	tall = 9
)

// A panelBuilder is a builder of the SDK for a panel.
type panelBuilder[B any] interface {
	cog.Builder[dashboard.Panel]
	Title(string) B
	Description(string) B
	Datasource(common.DataSourceRef) B
	Span(uint32) B
	Height(uint32) B
	Unit(string) B
	Targets([]cog.Builder[variants.Dataquery]) B
}

// A frame is what panels of all types have.
type frame struct {
	title, description string
	width, height      uint32
	unit               string
}

// fill gives a panel its frame and its queries.
func fill[B panelBuilder[B]](b B, f frame, queries ...target) B {
	targets := make([]cog.Builder[variants.Dataquery], len(queries))
	for i, q := range queries {
		targets[i] = q.RefId(string(rune('A' + i))).Datasource(source())
	}
	return b.Title(f.title).Description(f.description).Datasource(source()).
		Span(f.width).Height(f.height).Unit(f.unit).Targets(targets)
}

// line is a query over the time range of the dashboard.
func line(expr, legend string) target {
	return prometheus.NewDataqueryBuilder().Expr(expr).LegendFormat(legend).Range()
}

// now is a query at the end of the time range.
func now(expr, legend string) target {
	return prometheus.NewDataqueryBuilder().Expr(expr).LegendFormat(legend).Instant()
}

// column is a query at the end of the time range whose labels are columns of a table.
func column(expr string) target {
	return prometheus.NewDataqueryBuilder().Expr(expr).Format(prometheus.PromQueryFormatTable).Instant()
}

// tile returns a panel with one number, or one per series.
func tile(f frame, queries ...target) *stat.PanelBuilder {
	f.height = low
	return fill(stat.NewPanelBuilder(), f, queries...).
		ColorMode(common.BigValueColorModeValue).
		GraphMode(common.BigValueGraphModeNone).
		ReduceOptions(lastNotNull()).
		ColorScheme(byThresholds()).
		Thresholds(steps("text"))
}

// graph returns a panel with lines that are never below zero.
func graph(f frame, queries ...target) *timeseries.PanelBuilder { return signed(f, queries...).Min(0) }

// signed returns a panel with lines above and below zero.
func signed(f frame, queries ...target) *timeseries.PanelBuilder {
	if f.height == 0 {
		f.height = tall
	}
	p := fill(timeseries.NewPanelBuilder(), f, queries...)
	switch f.unit { // without a soft maximum, the axis of a line at 0 has any scale
	case cores:
		p.Decimals(2).AxisSoftMax(0.1)
	case ratio, perSecond, perMinute, packets, connections, count:
		p.AxisSoftMax(1)
	}
	return p.
		ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdPaletteClassic)).
		LineWidth(1).
		FillOpacity(10).
		ShowPoints(common.VisibilityModeNever).
		SpanNulls(common.BoolOrFloat64{Bool: cog.ToPtr(false)}).
		Legend(legend("Last *")).
		Tooltip(common.NewVizTooltipOptionsBuilder().
			Mode(common.TooltipDisplayModeMulti).
			Sort(common.SortOrderDescending))
}

// legend returns a legend with the last and the highest values, sorted by one of them.
func legend(sortBy string) *common.VizLegendOptionsBuilder {
	return common.NewVizLegendOptionsBuilder().
		ShowLegend(true).
		DisplayMode(common.LegendDisplayModeTable).
		Placement(common.LegendPlacementBottom).
		Calcs([]string{"lastNotNull", "max"}).
		SortBy(sortBy).
		SortDesc(true)
}

// stack returns a panel whose lines are on top of each other, so that the highest is the sum.
func stack(f frame, queries ...target) *timeseries.PanelBuilder {
	return graph(f, queries...).FillOpacity(40).Stacking(stacked())
}

// bars is stack for what happens now and then.
func bars(f frame, queries ...target) *timeseries.PanelBuilder {
	return graph(f, queries...).DrawStyle(common.GraphDrawStyleBars).FillOpacity(60).LineWidth(0).Stacking(stacked()).
		Legend(legend("Max"))
}

// gauges returns a panel with a bar per series.
func gauges(f frame, queries ...target) *bargauge.PanelBuilder {
	return fill(bargauge.NewPanelBuilder(), f, queries...).
		DisplayMode(common.BarGaugeDisplayModeBasic).
		ValueMode(common.BarGaugeValueModeText).
		Orientation(common.VizOrientationHorizontal).
		ReduceOptions(lastNotNull()).
		ColorScheme(byThresholds())
}

// timeline returns a panel with a bar per series that changes its color with the value.
func timeline(f frame, values dashboard.ValueMapping, queries ...target) *statetimeline.PanelBuilder {
	return fill(statetimeline.NewPanelBuilder(), f, queries...).
		Mappings([]dashboard.ValueMapping{values}).
		ColorScheme(byThresholds()).
		FillOpacity(70).
		LineWidth(0).
		RowHeight(0.8).
		MergeValues(true).
		ShowValue(common.VisibilityModeAuto).
		Legend(common.NewVizLegendOptionsBuilder().
			ShowLegend(false).
			DisplayMode(common.LegendDisplayModeList).
			Placement(common.LegendPlacementBottom).
			Calcs([]string{}))
}

func lastNotNull() *common.ReduceDataOptionsBuilder {
	return common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}).Values(false)
}

func stacked() *common.StackingConfigBuilder {
	return common.NewStackingConfigBuilder().Mode(common.StackingModeNormal).Group("A")
}

func byThresholds() *dashboard.FieldColorBuilder {
	return dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdThresholds)
}

// A step is where the color of a value changes.
type step struct {
	from  float64
	color string
}

// steps returns thresholds that begin with a color.
func steps(base string, others ...step) *dashboard.ThresholdsConfigBuilder {
	all := []dashboard.Threshold{{Color: base}}
	for _, s := range others {
		all = append(all, dashboard.Threshold{Value: cog.ToPtr(s.from), Color: s.color})
	}
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(all)
}

// shouldBeZero colors what is a problem if it is not 0.
func shouldBeZero(color string) *dashboard.ThresholdsConfigBuilder {
	return steps("green", step{1, color})
}

// A word is the text and the color of a value.
type word struct {
	value, text, color string
}

// words returns texts in place of values.
func words(list ...word) dashboard.ValueMapping {
	options := make(map[string]dashboard.ValueMappingResult)
	for i, w := range list {
		result := dashboard.ValueMappingResult{Text: &w.text, Index: cog.ToPtr(int32(i))}
		if w.color != "" {
			result.Color = &w.color
		}
		options[w.value] = result
	}
	return dashboard.ValueMapping{ValueMap: &dashboard.ValueMap{Type: dashboard.MappingTypeValueToText, Options: options}}
}

// ifEmpty returns a text in place of a label that is absent.
func ifEmpty(text string) dashboard.ValueMapping {
	return dashboard.ValueMapping{SpecialValueMap: &dashboard.SpecialValueMap{
		Type: dashboard.MappingTypeSpecialValue,
		Options: dashboard.DashboardSpecialValueMapOptions{
			Match:  dashboard.SpecialValueMatchEmpty,
			Result: dashboard.ValueMappingResult{Text: &text},
		},
	}}
}

// An ID of Docker or containerd has 64 hexadecimal digits. As in Docker, the first twelve are shown.
const (
	longID  = `([0-9a-f]{12})[0-9a-f]{52}`
	shortID = "$1"
)

func shortIDs() dashboard.ValueMapping {
	return dashboard.ValueMapping{RegexMap: &dashboard.RegexMap{
		Type:    dashboard.MappingTypeRegexToText,
		Options: dashboard.DashboardRegexMapOptions{Pattern: "^" + longID + "$", Result: dashboard.ValueMappingResult{Text: cog.ToPtr(shortID)}},
	}}
}

// property is a property of an override.
func property(id string, value any) dashboard.DynamicConfigValue {
	return dashboard.DynamicConfigValue{Id: id, Value: value}
}

// fixed is the property of a series with a color of its own.
func fixed(color string) dashboard.DynamicConfigValue {
	return property("color", map[string]any{"mode": "fixed", "fixedColor": color})
}

// apart draws a series as a line in a color of its own that is not part of a stack.
func apart(p *timeseries.PanelBuilder, legend, color string, more ...dashboard.DynamicConfigValue) *timeseries.PanelBuilder {
	return p.OverrideByName(legend, append([]dashboard.DynamicConfigValue{
		fixed(color),
		property("custom.fillOpacity", 0),
		property("custom.stacking", map[string]any{"mode": "none", "group": "A"}),
	}, more...))
}

// limit draws the series of a limit as a dashed line.
func limit(p *timeseries.PanelBuilder, legend string) *timeseries.PanelBuilder {
	return apart(p, legend, "red", property("custom.lineStyle", map[string]any{"fill": "dash", "dash": []int{8, 6}}))
}

// traffic returns a panel about both directions of a network: the legends of what was sent end in
// "sent", and their lines are below zero.
func traffic(f frame, received, sent target) *timeseries.PanelBuilder {
	return signed(f, received, sent).
		AxisCenteredZero(true).
		OverrideByRegexp("/ sent$/", []dashboard.DynamicConfigValue{property("custom.transform", "negative-Y")})
}

// byOutcome gives each outcome its color, the same everywhere.
func byOutcome(p *timeseries.PanelBuilder) *timeseries.PanelBuilder {
	for _, o := range []word{
		{value: "exited", color: "green"}, {value: "checkpointed", color: "blue"}, {value: "failed", color: "orange"},
		{value: "oom_killed", color: "red"}, {value: "killed", color: "purple"},
		{value: "vanished", color: "#8e8e8e"}, {value: "unregistered", color: "#b0b0b0"}, {value: "unknown", color: "#6e6e6e"},
	} {
		p.OverrideByName(o.value, []dashboard.DynamicConfigValue{fixed(o.color)})
	}
	return p
}

// sandboxNames shortens the legend of sandboxes: one that is no pod's has its ID only, and IDs are
// short.
const sandboxLegend = "{{namespace_name}}/{{pod_name}} {{sandbox}}"

func sandboxNames(p *timeseries.PanelBuilder) *timeseries.PanelBuilder {
	return p.
		WithTransformation(rename(`^/ (.*)$`, "$1")).
		WithTransformation(rename(longID, shortID))
}

func rename(regex, to string) dashboard.DataTransformerConfig {
	return dashboard.DataTransformerConfig{Id: "renameByRegex", Options: map[string]any{"regex": regex, "renamePattern": to}}
}

// row returns the row that begins a section of a dashboard.
func row(title string) *dashboard.RowBuilder { return dashboard.NewRowBuilder(title) }

// A target is a query of a panel.
type target = *prometheus.DataqueryBuilder

// follow returns a link from a point of a graph.
func follow(title, url string) *dashboard.DashboardLinkBuilder {
	return dashboard.NewDashboardLinkBuilder(title).Type(dashboard.DashboardLinkTypeLink).Url(url)
}
