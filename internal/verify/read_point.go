package verify

import (
	"github.com/sandmeter/sandmeter/internal/jscan"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

const (
	fieldMetric fieldSet = 1 << iota
	fieldLabels
	fieldVal
	fieldHistogram
)

// A point is a data point. Its fields may come in any order, so fields that come before the metric
// is known are read twice: they are skipped first, and read when the metric is known.
type point struct {
	seen   fieldSet
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
			if r.want('{', p.seen.add(fieldMetric), "", "metric") {
				r.definition(p)
			}
		case "labels":
			if r.want('{', p.seen.add(fieldLabels), p.name(), "labels") {
				p.labels = r.later(p, (*reader).labels)
			}
		case "val":
			if r.want('{', p.seen.add(fieldVal), p.name(), "val") {
				p.number = r.value(p)
			}
		case "histogram":
			if r.want('{', p.seen.add(fieldHistogram), p.name(), "histogram") {
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

// later calls read now if the point's metric is known; else it skips the value and returns its
// bytes.
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

// complete checks the point as a whole, and records it.
func (r *reader) complete(p *point) {
	if p.m == nil {
		r.broken(breach(RuleField, "", "metric"))
		return
	}
	r.again(p.labels, p, (*reader).labels)
	r.again(p.hist, p, (*reader).histogram)
	hasVal, hasHist := p.seen&fieldVal != 0, p.seen&fieldHistogram != 0
	switch {
	case r.breach != nil:
	case hasVal == hasHist:
		r.broken(breach(RuleOneValue, p.m.Name, ""))
	case hasHist != (p.m.Type == schema.Histogram):
		r.broken(breach(RuleKind, p.m.Name, ""))
	case p.seen&fieldLabels == 0 && len(p.m.Fields) > 0:
		r.broken(breach(RuleLabels, p.m.Name, "no labels"))
	default:
		if b := r.v.put(p.metric, p.series, p.number); b != nil {
			r.broken(b)
		}
	}
}

const (
	fieldName fieldSet = 1 << iota
	fieldType
	fieldHelp
)

// definition reads {"name":…,"type":…,"help":…}, which has to match the registration.
func (r *reader) definition(p *point) {
	var seen fieldSet
	var name, help []byte
	var kind int64
	for r.Object(); r.more(); {
		switch string(r.Key()) {
		case "name":
			if r.want('"', seen.add(fieldName), "", "name of a metric") {
				name = r.Str()
			}
		case "type":
			if r.want('0', seen.add(fieldType), "", "type of a metric") {
				kind = r.Int()
			}
		case "help":
			if r.want('"', seen.add(fieldHelp), "", "help of a metric") {
				help = r.Str()
			}
		default:
			r.Skip()
		}
	}
	if r.breach != nil || r.Err() != nil {
		return
	}
	if seen&fieldName == 0 {
		r.broken(breach(RuleField, "", "name of a metric"))
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
	fieldInt fieldSet = 1 << iota
	fieldFloat
)

// number reads {"int":i}, {"float":f}, or {} for zero.
func (r *reader) number(metric string) snapshot.Number {
	var n snapshot.Number
	var seen fieldSet
	for r.Object(); r.more(); {
		switch string(r.Key()) {
		case "int":
			if r.want('0', seen.add(fieldInt), metric, "int") {
				n.Int = r.integer(metric)
			}
		case "float":
			if r.want('0', seen.add(fieldFloat), metric, "float") {
				n.Float, n.IsFloat = r.Float(), true
			}
		default:
			r.Skip()
		}
	}
	if seen == fieldInt|fieldFloat {
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
