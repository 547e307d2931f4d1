package verify

import (
	"math"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

const (
	fieldTotal fieldSet = 1 << iota
	fieldMin
	fieldMax
	fieldSSD
	fieldBuckets
	fieldsOfHistogram = fieldTotal | fieldMin | fieldMax | fieldSSD | fieldBuckets
)

func (r *reader) histogram(p *point) {
	name := p.m.Name
	if p.m.Type != schema.Histogram {
		r.broken(breach(RuleKind, name, ""))
		return
	}
	var h snapshot.Histogram
	var seen fieldSet
	field := func(bit fieldSet, key string) snapshot.Number {
		if !r.want('{', seen.add(bit), name, key) {
			return snapshot.Number{}
		}
		return r.number(name)
	}
	for r.Object(); r.more(); {
		switch string(r.Key()) {
		case "total":
			h.Total = field(fieldTotal, "total")
		case "min":
			h.Min = field(fieldMin, "min")
		case "max":
			h.Max = field(fieldMax, "max")
		case "ssd":
			h.SSD = field(fieldSSD, "ssd").AsFloat()
		case "buckets":
			if r.want('[', seen.add(fieldBuckets), name, "buckets") {
				h.Counts = r.buckets(p.m)
			}
		default:
			r.Skip()
		}
	}
	switch {
	case seen != fieldsOfHistogram:
		r.broken(breach(RuleField, name, "histogram"))
	case h.SSD < 0:
		r.broken(breach(RuleDeviation, name, "%g", h.SSD))
	}
	p.number = int64(len(r.v.histograms))
	r.v.histograms = append(r.v.histograms, h)
}

// buckets reads [{"le":…,"n":…},…] and returns the counts. The bound of the last bucket is ignored:
// it is +Inf, which runsc does not encode.
func (r *reader) buckets(m *schema.Metric) []uint64 {
	counts := make([]uint64, 0, len(m.Bounds)+1)
	var sum uint64
	for r.Array(); r.more(); {
		if !r.want('{', true, m.Name, "a bucket") {
			return nil
		}
		bound, n := r.bucket(m.Name)
		i := len(counts)
		if i > len(m.Bounds) || i < len(m.Bounds) && bound.Compare(snapshot.Number{Int: m.Bounds[i]}) != 0 {
			r.broken(breach(RuleBounds, m.Name, "bucket %d", i))
			return nil
		}
		if sum += n; sum > math.MaxInt64 {
			r.broken(breach(RuleNumber, m.Name, "more samples than can be counted"))
			return nil
		}
		counts = append(counts, n)
	}
	if len(counts) != len(m.Bounds)+1 {
		r.broken(breach(RuleBounds, m.Name, "%d buckets", len(counts)))
	}
	return counts
}

const (
	fieldLe fieldSet = 1 << iota
	fieldN
)

// bucket reads {"le":…,"n":…}. runsc leaves out a field that is zero.
func (r *reader) bucket(metric string) (bound snapshot.Number, n uint64) {
	var seen fieldSet
	for r.Object(); r.more(); {
		switch string(r.Key()) {
		case "le":
			if r.want('{', seen.add(fieldLe), metric, "le") {
				bound = r.number(metric)
			}
		case "n":
			if r.want('0', seen.add(fieldN), metric, "n") {
				count := r.integer(metric)
				if count < 0 {
					r.broken(breach(RuleNegative, metric, "%d", count))
				}
				n = uint64(count)
			}
		default:
			r.Skip()
		}
	}
	return bound, n
}
