package simulate

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
)

// A Point is the value of one series.
type Point struct {
	Metric string            // Prometheus name without prefix: "fs_opens"
	Labels map[string]string // one for each field of the metric
	Int    int64             // the value, unless Float or Hist is set
	Float  float64
	Hist   *Histogram
}

// Histogram is the value of a series of a Distribution.
type Histogram struct {
	Total, Min, Max int64
	SSD             float64  // sum of squared deviations from the mean
	Counts          []uint64 // samples by bucket: one for each bound of the metric, and the last up to +Inf
}

// Idle returns the values of a sandbox with a sleeping shell. Together with the two gauges at zero,
// which are always sent, they are 8 points.
func Idle() []Point {
	return []Point{
		{Metric: "fs_opens", Int: 51},
		{Metric: "fs_reads", Int: 36},
		{Metric: "gofer_opens_host", Int: 13},
		{Metric: "gofer_reads_host", Int: 24},
		{Metric: "sentry_entry_point", Labels: map[string]string{"entry_point_type": "runsc"}, Int: 1},
		{Metric: "unimplemented_syscalls", Labels: map[string]string{"sysno": "334"}, Int: 6},
	}
}

// idle reports whether an idle sandbox has a value of the metric.
func idle(metric string) bool {
	return slices.ContainsFunc(Idle(), func(p Point) bool { return p.Metric == metric })
}

// A series is a point in encoded form: the bytes before and after its value, and the value.
type series struct {
	metric *metric
	labels string // as JSON; empty: none
	head   string // {"metric":{...},"labels":{...},"val":
	tail   string // }
	number int64
	other  []byte // a float's or a histogram's JSON; nil for an integer
}

// buildSeries returns the series of a metric with the given labels. If keys is set, the fields of
// its JSON are in random order.
func buildSeries(m *metric, labels string, keys *rand.Rand) series {
	def := []string{
		`"name":` + string(mustJSON(m.PrometheusName)),
		`"type":` + strconv.Itoa(m.kind),
		`"help":` + string(mustJSON(m.Description)),
	}
	value := `"val":`
	if m.kind == 3 {
		value = `"histogram":`
	}
	shuffle(keys, def)
	fields := []string{"", "", value}
	fields[0] = `"metric":{` + def[0] + "," + def[1] + "," + def[2] + "}"
	if labels == "" {
		fields = slices.Delete(fields, 1, 2)
	} else {
		fields[1] = `"labels":` + labels
	}
	shuffle(keys, fields)
	p := series{metric: m, labels: labels, head: "{", tail: "}"}
	at := slices.Index(fields, value)
	for _, field := range fields[:at] {
		p.head += field + ","
	}
	p.head += value
	for i := len(fields) - 1; i > at; i-- {
		p.tail = "," + fields[i] + p.tail
	}
	return p
}

func shuffle[T any](r *rand.Rand, s []T) {
	if r != nil {
		r.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
	}
}

// sent reports whether runsc sends the series: it leaves out counters at zero and empty histograms.
func (p *series) sent() bool {
	return p.number != 0 || p.other != nil || p.metric.kind == 1
}

// append adds the point's bytes to b.
func (p *series) append(b []byte) []byte {
	b = append(b, p.head...)
	switch {
	case p.other != nil:
		b = append(b, p.other...)
	case p.number == 0:
		b = append(b, "{}"...)
	default:
		b = append(b, `{"int":`...)
		b = strconv.AppendInt(b, p.number, 10)
		b = append(b, '}')
	}
	return append(b, p.tail...)
}

// set sets the value of the series.
func (p *series) set(v Point) {
	p.number, p.other = v.Int, nil
	switch {
	case v.Hist != nil:
		p.other = v.Hist.json(p.metric.Buckets)
	case v.Float != 0:
		p.other = mustJSON(wireNumber{Float: v.Float})
	}
}

// wireNumber is a number in the format of replies; zero has no field.
type wireNumber struct {
	Float float64 `json:"float,omitempty"`
	Int   int64   `json:"int,omitempty"`
}

type wireBucket struct {
	UpperBound wireNumber `json:"le"`
	Samples    uint64     `json:"n,omitempty"`
}

// json returns the histogram as JSON, or nil if it has no samples. runsc does not encode the bound
// of the last bucket, +Inf.
func (h *Histogram) json(bounds []int64) []byte {
	var samples uint64
	buckets := make([]wireBucket, len(h.Counts))
	for i, n := range h.Counts {
		samples += n
		buckets[i].Samples = n
		if i < len(bounds) {
			buckets[i].UpperBound.Int = bounds[i]
		}
	}
	if samples == 0 {
		return nil
	}
	return mustJSON(struct {
		Total   wireNumber   `json:"total"`
		Min     wireNumber   `json:"min"`
		Max     wireNumber   `json:"max"`
		SSD     wireNumber   `json:"ssd"`
		Buckets []wireBucket `json:"buckets,omitempty"`
	}{wireNumber{Int: h.Total}, wireNumber{Int: h.Min}, wireNumber{Int: h.Max}, wireNumber{Float: h.SSD}, buckets})
}

// lookup returns the metric of a point, and an error if the registration does not allow the point.
func (s *schema) lookup(p Point) (m *metric, labels string, err error) {
	if m = s.byName[p.Metric]; m == nil || !m.allows(p) {
		return nil, "", fmt.Errorf("simulate: the registration does not allow %+v", p)
	}
	return m, encodeLabels(p.Labels), nil
}

// allows reports whether the metric may have a point, and whether its value has JSON.
func (m *metric) allows(p Point) bool {
	for _, f := range m.Fields {
		if !slices.Contains(f.Allowed, p.Labels[f.Name]) {
			return false
		}
	}
	return len(p.Labels) == len(m.Fields) && (m.kind == 3) == (p.Hist != nil) && (p.Hist == nil || len(p.Hist.Counts) == len(m.Buckets)+1) &&
		!math.IsNaN(p.Float) && !math.IsInf(p.Float, 0)
}

// AllSeries returns a point for each possible series of the registration.
func AllSeries(r *Registration) []Point {
	var points []Point
	for _, m := range r.Metrics {
		for _, labels := range labelSets(m.Fields) {
			points = append(points, Point{Metric: m.PrometheusName, Labels: labels, Int: 1})
		}
	}
	return points
}

// labelSets returns all combinations of labels that the fields allow.
func labelSets(fields []Field) []map[string]string {
	all := []map[string]string{nil}
	for _, f := range fields {
		var more []map[string]string
		for _, labels := range all {
			for _, value := range f.Allowed {
				one := map[string]string{f.Name: value}
				maps.Copy(one, labels)
				more = append(more, one)
			}
		}
		all = more
	}
	return all
}

// encodeLabels returns labels as JSON, or "" if there are none.
func encodeLabels(labels map[string]string) string {
	if len(labels) == 0 {
		return ""
	}
	return string(mustJSON(labels))
}
