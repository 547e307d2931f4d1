package verify

import (
	"slices"

	"github.com/sandmeter/sandmeter/internal/jscan"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// A point is a data point. Its fields may come in any order, so fields that come before the metric
// is known are read twice: they are skipped first, and read when the metric is known.
type point struct {
	metric int
	m      *schema.Metric // nil: not known yet
	series uint32
	number int64

	hasLabels, hasVal, hasHist bool

	labels []byte // of a metric not known yet
	hist   []byte // of a metric not known yet
}

func (r *reader) point() {
	if !r.want('{', true, "a data point") {
		return
	}
	r.at = point{}
	p := &r.at
	r.object(1,
		field{"metric", '{', r.definition},
		field{"labels", '{', func() { p.hasLabels, p.labels = true, r.later((*reader).labels) }},
		field{"val", '{', func() { p.hasVal, p.number = true, r.value() }},
		field{"histogram", '{', func() { p.hasHist, p.hist = true, r.later((*reader).histogram) }})
	if r.breach == nil && r.Err() == nil {
		r.complete(p)
	}
	r.metric = ""
}

// later calls read now if the point's metric is known; else it skips the value and returns its
// bytes.
func (r *reader) later(read func(*reader)) []byte {
	if r.at.m != nil {
		read(r)
		return nil
	}
	from := r.Rest()
	start := r.Offset()
	r.Skip()
	return from[:r.Offset()-start]
}

// again reads bytes that were skipped, now that the metric is known.
func (r *reader) again(data []byte, read func(*reader)) {
	if data == nil || r.breach != nil {
		return
	}
	rest := r.Scanner
	r.Scanner = jscan.New(data)
	read(r)
	if err := r.Err(); r.breach == nil && err != nil {
		r.breach = breach(RuleJSON, r.metric, "%v", err)
	}
	r.Scanner = rest
}

// complete checks the point as a whole, and records it.
func (r *reader) complete(p *point) {
	r.again(p.labels, (*reader).labels)
	r.again(p.hist, (*reader).histogram)
	switch {
	case r.breach != nil:
	case p.hasVal == p.hasHist:
		r.broken(RuleOneValue, "")
	case p.hasHist != (p.m.Type == schema.Histogram):
		r.broken(RuleKind, "")
	case !p.hasLabels && len(p.m.Fields) > 0:
		r.broken(RuleLabels, "no labels")
	default:
		r.breach = r.v.put(p.metric, p.series, p.number)
	}
}

// definition reads {"name":…,"type":…,"help":…}, which has to match the registration.
func (r *reader) definition() {
	var name, help []byte
	var kind int64
	r.object(1,
		field{"name", '"', func() { name = r.Str() }},
		field{"type", '0', func() { kind = r.Int() }},
		field{"help", '"', func() { help = r.Str() }})
	if r.breach != nil || r.Err() != nil {
		return
	}
	p := &r.at
	p.metric = r.v.schema.Find(name)
	if p.metric < 0 {
		r.broken(RuleUnregistered, "%s", quote(name))
		return
	}
	m := &r.v.schema.Metrics[p.metric]
	r.metric = m.Name
	switch {
	case kind != m.WireType:
		r.broken(RuleType, "%d instead of %d", kind, m.WireType)
	case string(help) != m.Help:
		r.broken(RuleHelp, "%s", quote(help))
	}
	p.m = m
	p.series += m.First
}

func (r *reader) labels() {
	p := &r.at
	seen := make([]bool, len(p.m.Fields))
	count := 0
	for r.Object(); r.more(); {
		name := r.Key()
		i := slices.IndexFunc(p.m.Fields, func(f schema.Field) bool { return f.Name == string(name) })
		if r.Err() != nil {
			return
		}
		if i < 0 || seen[i] {
			r.broken(RuleLabels, "%s", quote(name))
			return
		}
		seen[i] = true
		count++
		if !r.want('"', true, "a label's value") {
			return
		}
		value := r.Str()
		if r.Err() != nil {
			return
		}
		offset, allowed := p.m.Fields[i].Offset(value)
		if !allowed {
			r.broken(RuleLabelValue, "%s is %s", p.m.Fields[i].Name, quote(value))
			return
		}
		p.series += offset
	}
	if count != len(p.m.Fields) {
		r.broken(RuleLabels, "%d of %d", count, len(p.m.Fields))
	}
}

// value reads the number of a counter or gauge.
func (r *reader) value() int64 {
	n := r.number()
	if n.IsFloat {
		r.broken(RuleInteger, "%g", n.Float)
	}
	return n.Int
}

// number reads {"int":i}, {"float":f}, or {} for zero.
func (r *reader) number() (n snapshot.Number) {
	hasInt := false
	r.object(0,
		field{"int", '0', func() { n.Int, hasInt = r.integer(), true }},
		field{"float", '0', func() { n.Float, n.IsFloat = r.Float(), true }})
	if hasInt && n.IsFloat {
		r.broken(RuleNumber, "an integer and a float at once")
	}
	return n
}

func (r *reader) integer() int64 {
	text := r.Number()
	if r.Err() != nil {
		return 0
	}
	n, ok := jscan.ParseInt(text)
	if !ok {
		r.broken(RuleInteger, "%s", quote(text))
	}
	return n
}
