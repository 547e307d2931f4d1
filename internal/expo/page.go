// Package expo renders a page: the verified metrics of all sandboxes and the server's own, in the text format of Prometheus. Escaping
// happens here and nowhere else.
package expo

import (
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// A Page is what one scrape has to say. It is read, never changed, while it is rendered.
type Page struct {
	Time     int64    // of the server's own samples, in milliseconds since the Unix epoch
	Families []Family // sorted by name, each once
	Sources  []Source // sorted by sandbox
}

// A Family is all samples of one name. Those that sandboxes registered are found in the Sources; the server's own are in Own.
type Family struct {
	Name string // whole, with the exporter's prefix
	Help string
	Type schema.Type

	Own []Own

	// Metric is the index of the family's metric in the schema of each Kind of source; -1 where it has none. Nil for Own.
	Metric []int32
	Part   Part
}

// A Part is what a family has of its metric.
type Part uint8

// A histogram is a family, and its extremes and deviation, for which Prometheus's histograms have no place, are three more.
const (
	Whole Part = iota
	Min
	Max
	SSD
)

// Suffix is what a part adds to the name of its metric.
func (p Part) Suffix() string { return [...]string{"", "_min", "_max", "_ssd"}[p] }

// An Own is a sample of the server's own.
type Own struct {
	Labels string // a rendered block, "" for none
	Value  float64
}

// A Source is one sandbox's verified samples.
type Source struct {
	Labels   *Labels
	Kind     int // index in each Family's Metric: sources with the same schema have the same
	Series   *SeriesText
	Time     int64           // of the samples, in milliseconds since the Unix epoch
	Samples  []verify.Sample // in the order of their series' numbers
	Baseline *verify.Baseline
}
