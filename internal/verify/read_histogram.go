package verify

import (
	"math"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

func (r *reader) histogram() {
	p := &r.at
	if p.m.Type != schema.Histogram {
		r.broken(RuleKind, "")
		return
	}
	var h snapshot.Histogram
	r.object(5,
		field{"total", '{', func() { h.Total = r.number() }},
		field{"min", '{', func() { h.Min = r.number() }},
		field{"max", '{', func() { h.Max = r.number() }},
		field{"ssd", '{', func() { h.SSD = r.number().AsFloat() }},
		field{"buckets", '[', func() { h.Counts = r.buckets(p.m) }})
	if h.SSD < 0 {
		r.broken(RuleDeviation, "%g", h.SSD)
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
		if !r.want('{', true, "a bucket") {
			return nil
		}
		bound, n := r.bucket()
		i := len(counts)
		if i > len(m.Bounds) || i < len(m.Bounds) && bound.Compare(snapshot.Number{Int: m.Bounds[i]}) != 0 {
			r.broken(RuleBounds, "bucket %d", i)
			return nil
		}
		if sum += n; sum > math.MaxInt64 {
			r.broken(RuleNumber, "more samples than can be counted")
			return nil
		}
		counts = append(counts, n)
	}
	if len(counts) != len(m.Bounds)+1 {
		r.broken(RuleBounds, "%d buckets", len(counts))
	}
	return counts
}

// bucket reads {"le":…,"n":…}. runsc leaves out a field that is zero.
func (r *reader) bucket() (bound snapshot.Number, n uint64) {
	r.object(0, field{"le", '{', func() { bound = r.number() }}, field{"n", '0', func() {
		count := r.integer()
		if count < 0 {
			r.broken(RuleNegative, "%d", count)
		}
		n = uint64(count)
	}})
	return bound, n
}
