package dashboards

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/table"
)

// A col is a column of a table: a label, or the value of a query.
type col struct {
	label string // name of the label; empty: a value
	expr  string // of the value
	title string
	unit  string

	decimals *float64
	words    []dashboard.ValueMapping           // in place of values
	colors   *dashboard.ThresholdsConfigBuilder // of the text
	color    bool                               // color the text as words say
	drop     bool                               // the value itself does not matter, only its labels
	hidden   bool                               // only links use it
	link     string                             // URL, and linkTitle is its title
	linkText string
	width    float64
}

// label returns a column with a label of the series.
func label(name, title string) col { return col{label: name, title: title} }

// value returns a column with the value of a query.
func value(expr, title, unit string) col { return col{expr: expr, title: title, unit: unit} }

// hiddenLabel returns a column that is not shown, for the links of others.
func hiddenLabel(name string) col { return col{label: name, hidden: true} }

func (c col) linked(text, url string) col         { c.link, c.linkText = url, text; return c }
func (c col) emptyAs(text string) col             { c.words = append(c.words, ifEmpty(text)); return c }
func (c col) shortID() col                        { c.words = append(c.words, shortIDs()); return c }
func (c col) worded(list ...word) col             { c.words = append(c.words, words(list...)); return c }
func (c col) wide(width float64) col              { c.width = width; return c }
func (c col) digits(n float64) col                { c.decimals = &n; return c }
func (c col) red(base string, others ...step) col { c.colors = steps(base, others...); return c }

func (c col) colored() col { c.color = true; return c }
func (c col) dropped() col { c.drop = true; return c }

// An order is the column by which a table is sorted until the user chooses another.
type order struct {
	by         string
	descending bool
}

func highestFirst(title string) order { return order{title, true} }
func lowestFirst(title string) order  { return order{title, false} }

// grid returns a table with a row per combination of its labels. Values join by labels, so all
// queries have those that identify a row.
func grid(f frame, sorted order, cols ...col) *table.PanelBuilder {
	var queries []target
	rename, index, exclude := map[string]string{}, map[string]int{}, map[string]bool{"Time": true}
	names := fields(cols)
	for i, c := range cols {
		if c.label == "" {
			queries = append(queries, column(c.expr))
		}
		if c.title != "" {
			rename[names[i]] = c.title
		}
		if c.drop {
			exclude[names[i]] = true
		}
		index[names[i]] = i
	}
	t := fill(table.NewPanelBuilder(), f, queries...).
		CellHeight(common.TableCellHeightSm).
		Footer(common.NewTableFooterOptionsBuilder().Show(false).Reducer([]string{})). // the SDK has null
		SortBy([]cog.Builder[common.TableSortByFieldState]{
			common.NewTableSortByFieldStateBuilder().DisplayName(sorted.by).Desc(sorted.descending),
		}).
		WithTransformation(dashboard.DataTransformerConfig{Id: "merge", Options: map[string]any{}}).
		WithTransformation(dashboard.DataTransformerConfig{Id: "organize", Options: map[string]any{
			"renameByName": rename, "indexByName": index, "excludeByName": exclude,
		}})
	for _, c := range cols {
		if properties := c.properties(); len(properties) > 0 {
			t.OverrideByName(cmp.Or(c.title, c.label), properties)
		}
	}
	return t
}

// fields returns the names that Grafana gives to columns: labels have their own, and values are
// numbered if there are several.
func fields(cols []col) []string {
	var names []string
	values := 0
	for _, c := range cols {
		if c.label != "" {
			names = append(names, c.label)
			continue
		}
		names = append(names, fmt.Sprintf("Value #%c", 'A'+values))
		values++
	}
	if i := slices.Index(names, "Value #A"); i >= 0 && values == 1 {
		names[i] = "Value"
	}
	return names
}

// properties returns how a column differs from others.
func (c col) properties() []dashboard.DynamicConfigValue {
	var list []dashboard.DynamicConfigValue
	add := func(when bool, id string, value any) {
		if when {
			list = append(list, property(id, value))
		}
	}
	add(c.unit != "", "unit", c.unit)
	add(c.decimals != nil, "decimals", c.decimals)
	add(c.words != nil, "mappings", c.words)
	add(c.width != 0, "custom.width", c.width)
	add(c.color, "custom.cellOptions", map[string]string{"type": "color-text"})
	add(c.hidden, "custom.hidden", true)
	add(c.hidden, "custom.hideFrom", map[string]bool{"viz": true, "legend": false, "tooltip": false})
	if c.colors != nil {
		thresholds, err := c.colors.Build()
		add(err == nil, "thresholds", thresholds)
		add(true, "custom.cellOptions", map[string]string{"type": "color-text"})
	}
	add(c.link != "", "links", []map[string]any{{"title": c.linkText, "url": c.link}})
	return list
}
