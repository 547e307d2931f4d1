package families

import (
	"slices"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// A row is a family, with the function that adds its samples for facts.
type row[F any] struct {
	schema.Metric
	on    on
	value func(a *adder, of F)
}

// on tells which pages have a family.
type on uint8

const (
	allPages  on = iota // of the drop-in server too
	problems            // on the drop-in server only if the value is not 0, since it reports a problem
	notDropIn           // gVisor's metric server does not have it
)

// A table has the families of one kind of facts.
type table[F any] struct {
	*schema.Schema
	rows []row[F] // in the order of the schema's metrics
}

// newTable returns a table of rows, which may be in any order. Names that begin with meta_ get a
// prefix on pages; other names are whole. labeled: all samples have label sets, also those of rows
// without labels of their own.
func newTable[F any](labeled bool, rows ...row[F]) table[F] {
	slices.SortFunc(rows, func(a, b row[F]) int { return strings.Compare(a.Name, b.Name) })
	metrics := make([]schema.Metric, len(rows))
	for i := range rows {
		m := &rows[i].Metric
		m.Whole, m.Open = !strings.HasPrefix(m.Name, "meta_"), labeled || m.SetLabels != nil
		metrics[i] = *m
	}
	return table[F]{schema.New(metrics), rows}
}

// convert returns the samples of facts. before is the source of earlier facts about the same thing,
// whose memory is used again as far as nothing changed.
func (t *table[F]) convert(a *adder, of F, source, before *snapshot.Source) {
	a.begin()
	for i := range t.rows {
		r := &t.rows[i]
		if a.dropIn && r.on == notDropIn || a.countersOnly && r.Type == schema.Gauge {
			continue
		}
		a.metric, a.quiet = &t.rows[i].Metric, a.dropIn && r.on == problems
		a.index = int32(i)
		r.value(a, of)
	}
	source.Schema = t.Schema
	a.end(source, before)
}

// An adder collects the samples of a source. It is used for one source after the other.
type adder struct {
	dropIn       bool
	countersOnly bool // without gauges
	exact        bool // sources get memory of their own, since they stay as they are

	metric *schema.Metric // of the current row
	index  int32          // of the current row
	quiet  bool           // the value 0 adds no sample

	samples    []snapshot.Sample
	histograms []snapshot.Histogram
	sets       []*snapshot.LabelSet

	kept snapshot.Pool[snapshot.Sample]
}

func (a *adder) begin() {
	a.samples, a.histograms, a.sets = a.samples[:0], a.histograms[:0], a.sets[:0]
}

// add adds a sample. A set with labels of its own is nil for none.
func (a *adder) add(value int64, set *snapshot.LabelSet) {
	if a.quiet && value == 0 {
		return
	}
	s := snapshot.Sample{Metric: a.index, Value: value}
	if set != nil {
		s.Series = uint32(len(a.sets))
		a.sets = append(a.sets, set)
	}
	a.samples = append(a.samples, s)
}

// count adds a number without labels of its own.
func (a *adder) count(n int64) { a.add(n, nil) }

// one adds the value 1 with labels.
func (a *adder) one(set *snapshot.LabelSet) { a.add(1, set) }

// truth adds 1 or 0.
func (a *adder) truth(b bool) { a.add(number(b), nil) }

// float adds a number of a metric with Float.
func (a *adder) float(f float64) { a.add(snapshot.FloatValue(f), nil) }

// figure adds a figure of the host: a time in nanoseconds if the metric has Float, which is then in
// seconds.
func (a *adder) figure(value int64, set *snapshot.LabelSet) {
	if a.metric.Float {
		value = snapshot.FloatValue(float64(value) / float64(time.Second))
	}
	a.add(value, set)
}

// at adds a time in seconds since the Unix epoch, precise to a quarter of a microsecond.
func (a *adder) at(t time.Time, set *snapshot.LabelSet) {
	a.add(snapshot.FloatValue(float64(t.Unix())+float64(t.Nanosecond())/1e9), set)
}

// histogram adds a histogram.
func (a *adder) histogram(h snapshot.Histogram, set *snapshot.LabelSet) {
	a.add(int64(len(a.histograms)), set)
	a.histograms = append(a.histograms, h)
}

// end completes a source.
func (a *adder) end(source, before *snapshot.Source) {
	source.Samples, source.Sets = before.Samples, before.Sets
	if !slices.Equal(a.samples, before.Samples) {
		source.Samples = a.copy()
	}
	if !slices.Equal(a.sets, before.Sets) {
		source.Sets = slices.Clone(a.sets)
	}
	if source.Histograms = before.Histograms; !slices.EqualFunc(a.histograms, before.Histograms, sameHistogram) {
		source.Histograms = slices.Clone(a.histograms)
	}
	source.Measure(before)
}

// copy returns a copy of the samples.
func (a *adder) copy() []snapshot.Sample {
	pool := &a.kept
	if a.exact {
		pool = nil
	}
	return pool.Copy(a.samples)
}

// sameHistogram reports whether two histograms, whose counts are never changed, are the same.
func sameHistogram(a, b snapshot.Histogram) bool {
	return len(a.Counts) == len(b.Counts) && (len(a.Counts) == 0 || &a.Counts[0] == &b.Counts[0]) && a.Total == b.Total
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
