package verify

import (
	"github.com/sandmeter/sandmeter/internal/jscan"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

const (
	memberMetric members = 1 << iota
	memberLabels
	memberVal
	memberHistogram
)

// point is a data point. Its members may come in any order: what cannot be checked before the metric is known is looked at again.
type point struct {
	seen   members
	metric int
	m      *schema.Metric // nil: not known yet
	series uint32
	number int64
	labels []byte // of a metric not known yet
	hist   []byte // of a metric not known yet
}

func (r *reader) point() {
	if !r.want('{', true, "", "a data point") {
		return
	}
	r.at = point{}
	p := &r.at
	for r.Object(); r.more(); {
		switch string(r.Key()) {
		case "metric":
			if r.want('{', p.seen.add(memberMetric), "", "metric") {
				r.definition(p)
			}
		case "labels":
			if r.want('{', p.seen.add(memberLabels), p.name(), "labels") {
				p.labels = r.later(p, (*reader).labels)
			}
		case "val":
			if r.want('{', p.seen.add(memberVal), p.name(), "val") {
				p.number = r.value(p)
			}
		case "histogram":
			if r.want('{', p.seen.add(memberHistogram), p.name(), "histogram") {
				p.hist = r.later(p, (*reader).histogram)
			}
		default:
			r.Skip()
		}
	}
	if r.breach == nil && r.Err() == nil {
		r.complete(p)
	}
}

func (p *point) name() string {
	if p.m == nil {
		return ""
	}
	return p.m.Name
}

// later calls read now if the point's metric is known; else it skips the value and returns its bytes.
func (r *reader) later(p *point, read func(*reader, *point)) []byte {
	if p.m != nil {
		read(r, p)
		return nil
	}
	from := r.Rest()
	start := r.Offset()
	r.Skip()
	return from[:r.Offset()-start]
}

// again reads bytes that were skipped, now that the metric is known.
func (r *reader) again(data []byte, p *point, read func(*reader, *point)) {
	if data == nil || r.breach != nil {
		return
	}
	sub := reader{Scanner: jscan.New(data), v: r.v}
	read(&sub, p)
	if sub.breach == nil && sub.Err() != nil {
		sub.breach = breach(RuleJSON, p.m.Name, "%v", sub.Err())
	}
	r.breach = sub.breach
}

// complete checks what only the whole point tells, and records it.
func (r *reader) complete(p *point) {
	if p.m == nil {
		r.broken(breach(RuleMember, "", "metric"))
		return
	}
	r.again(p.labels, p, (*reader).labels)
	r.again(p.hist, p, (*reader).histogram)
	hasVal, hasHist := p.seen&memberVal != 0, p.seen&memberHistogram != 0
	switch {
	case r.breach != nil:
	case hasVal == hasHist:
		r.broken(breach(RuleOneValue, p.m.Name, ""))
	case hasHist != (p.m.Type == schema.Histogram):
		r.broken(breach(RuleKind, p.m.Name, ""))
	case p.seen&memberLabels == 0 && len(p.m.Fields) > 0:
		r.broken(breach(RuleLabels, p.m.Name, "there are none"))
	default:
		if b := r.v.put(p.metric, p.series, p.number); b != nil {
			r.broken(b)
		}
	}
}

const (
	memberName members = 1 << iota
	memberType
	memberHelp
)

// definition reads {"name":…,"type":…,"help":…}, which has to be the registered one.
func (r *reader) definition(p *point) {
	var seen members
	var name, help []byte
	var kind int64
	for r.Object(); r.more(); {
		switch string(r.Key()) {
		case "name":
			if r.want('"', seen.add(memberName), "", "name of a metric") {
				name = r.Str()
			}
		case "type":
			if r.want('0', seen.add(memberType), "", "type of a metric") {
				kind = r.Int()
			}
		case "help":
			if r.want('"', seen.add(memberHelp), "", "help of a metric") {
				help = r.Str()
			}
		default:
			r.Skip()
		}
	}
	if r.breach != nil || r.Err() != nil {
		return
	}
	if seen&memberName == 0 {
		r.broken(breach(RuleMember, "", "name of a metric"))
		return
	}
	p.metric = r.v.schema.Find(name)
	if p.metric < 0 {
		r.broken(breach(RuleUnregistered, "", "%s", quote(name)))
		return
	}
	m := &r.v.schema.Metrics[p.metric]
	switch {
	case kind != m.WireType:
		r.broken(breach(RuleType, m.Name, "%d instead of %d", kind, m.WireType))
	case string(help) != m.Help:
		r.broken(breach(RuleHelp, m.Name, "%s", quote(help)))
	}
	p.m = m
	p.series += m.First
}

func (r *reader) labels(p *point) {
	seen := make([]bool, len(p.m.Fields))
	count := 0
	for r.Object(); r.more(); {
		name := r.Key()
		i := p.field(name)
		if r.Err() != nil {
			return
		}
		if i < 0 || seen[i] {
			r.broken(breach(RuleLabels, p.m.Name, "%s", quote(name)))
			return
		}
		seen[i] = true
		count++
		if !r.want('"', true, p.m.Name, "a label's value") {
			return
		}
		value := r.Str()
		if r.Err() != nil {
			return
		}
		offset, allowed := p.m.Fields[i].Offset(value)
		if !allowed {
			r.broken(breach(RuleLabelValue, p.m.Name, "%s is %s", p.m.Fields[i].Name, quote(value)))
			return
		}
		p.series += offset
	}
	if count != len(p.m.Fields) {
		r.broken(breach(RuleLabels, p.m.Name, "%d of %d", count, len(p.m.Fields)))
	}
}

func (p *point) field(name []byte) int {
	for i := range p.m.Fields {
		if p.m.Fields[i].Name == string(name) {
			return i
		}
	}
	return -1
}

// value reads the number of a counter or gauge.
func (r *reader) value(p *point) int64 {
	n := r.number(p.name())
	if n.IsFloat {
		r.broken(breach(RuleInteger, p.name(), "%g", n.Float))
	}
	return n.Int
}

const (
	memberInt members = 1 << iota
	memberFloat
)

// number reads {"int":i}, {"float":f}, or {} for zero.
func (r *reader) number(metric string) snapshot.Number {
	var n snapshot.Number
	var seen members
	for r.Object(); r.more(); {
		switch string(r.Key()) {
		case "int":
			if r.want('0', seen.add(memberInt), metric, "int") {
				n.Int = r.integer(metric)
			}
		case "float":
			if r.want('0', seen.add(memberFloat), metric, "float") {
				n.Float, n.IsFloat = r.Float(), true
			}
		default:
			r.Skip()
		}
	}
	if seen == memberInt|memberFloat {
		r.broken(breach(RuleNumber, metric, "an integer and a float at once"))
	}
	return n
}

func (r *reader) integer(metric string) int64 {
	text := r.Number()
	if r.Err() != nil {
		return 0
	}
	n, ok := jscan.ParseInt(text)
	if !ok {
		r.broken(breach(RuleInteger, metric, "%s", quote(text)))
	}
	return n
}
