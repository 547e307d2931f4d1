package verify

import (
	"math"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

const (
	memberTotal members = 1 << iota
	memberMin
	memberMax
	memberSSD
	memberBuckets
	membersOfHistogram = memberTotal | memberMin | memberMax | memberSSD | memberBuckets
)

func (r *reader) histogram(p *point) {
	name := p.m.Name
	if p.m.Type != schema.Histogram {
		r.broken(breach(RuleKind, name, ""))
		return
	}
	var h snapshot.Histogram
	var seen members
	member := func(bit members, key string) snapshot.Number {
		if !r.want('{', seen.add(bit), name, key) {
			return snapshot.Number{}
		}
		return r.number(name)
	}
	for r.Object(); r.more(); {
		switch string(r.Key()) {
		case "total":
			h.Total = member(memberTotal, "total")
		case "min":
			h.Min = member(memberMin, "min")
		case "max":
			h.Max = member(memberMax, "max")
		case "ssd":
			h.SSD = member(memberSSD, "ssd").AsFloat()
		case "buckets":
			if r.want('[', seen.add(memberBuckets), name, "buckets") {
				h.Counts = r.buckets(p.m)
			}
		default:
			r.Skip()
		}
	}
	switch {
	case seen != membersOfHistogram:
		r.broken(breach(RuleMember, name, "a member of the histogram"))
	case h.SSD < 0:
		r.broken(breach(RuleDeviation, name, "%g", h.SSD))
	}
	p.number = int64(len(r.v.histograms))
	r.v.histograms = append(r.v.histograms, h)
}

// buckets reads [{"le":…,"n":…},…] and returns the counts. The last bucket has no bound, whatever it says.
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
	memberLe members = 1 << iota
	memberN
)

// bucket reads {"le":…,"n":…}. Either is left out when it is zero.
func (r *reader) bucket(metric string) (bound snapshot.Number, n uint64) {
	var seen members
	for r.Object(); r.more(); {
		switch string(r.Key()) {
		case "le":
			if r.want('{', seen.add(memberLe), metric, "le") {
				bound = r.number(metric)
			}
		case "n":
			if r.want('0', seen.add(memberN), metric, "n") {
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
