package verify

import (
	"errors"
	"math"
	"time"

	"github.com/sandmeter/sandmeter/internal/jscan"
	"github.com/sandmeter/sandmeter/internal/schema"
)

// members says which members of an object have been seen, by the bit that each has.
type members uint8

// add reports whether the member was not seen before.
func (m *members) add(bit members) bool {
	seen := *m&bit != 0
	*m |= bit
	return !seen
}

// reader reads one answer, whatever its form. The first breach or error of the scanner ends it.
type reader struct {
	jscan.Scanner
	v      *Verifier
	at     point // that is being read; here so that none makes garbage
	breach *Breach
}

// read reads an answer of any form into the verifier. The error is ErrIncomplete or a *Breach.
func (v *Verifier) read(data []byte) error {
	r := reader{Scanner: jscan.New(data), v: v}
	env := r.envelope(func() { r.result() })
	if err := r.finish(); err != nil {
		return err
	}
	return env.check()
}

// finish returns the breach, or what the scanner found.
func (r *reader) finish() error {
	if r.breach != nil {
		return r.breach
	}
	err := r.End()
	if errors.Is(err, jscan.ErrTruncated) {
		return ErrIncomplete
	}
	if err != nil {
		return breach(RuleJSON, "", "%v", err)
	}
	return nil
}

// more is More until there is a breach.
func (r *reader) more() bool { return r.breach == nil && r.More() }

// broken records the first breach.
func (r *reader) broken(b *Breach) {
	if r.breach == nil && r.Err() == nil {
		r.breach = b
	}
}

// want checks that the next value has the wanted kind, and that the member was not there before.
func (r *reader) want(kind byte, first bool, metric, member string) bool {
	got := r.Kind()
	if r.Err() != nil {
		return false
	}
	if !first || got != kind {
		r.broken(breach(RuleMember, metric, "%s", member))
		return false
	}
	return true
}

// envelope is what every answer is wrapped in.
type envelope struct {
	seen      members
	success   bool
	errorText string
	hasResult bool
}

const (
	memberSuccess members = 1 << iota
	memberErr
	memberResult
)

// envelope reads the answer, calling result for an object that is its result.
func (r *reader) envelope(result func()) envelope {
	var e envelope
	if r.Kind() != '{' {
		r.broken(breach(RuleJSON, "", ""))
		return e
	}
	for r.Object(); r.more(); {
		switch string(r.Key()) {
		case "success":
			if kind := r.Kind(); kind != 't' && kind != 'f' || !e.seen.add(memberSuccess) {
				r.broken(breach(RuleMember, "", "success"))
				return e
			}
			e.success = r.Bool()
		case "err":
			if r.want('"', e.seen.add(memberErr), "", "err") {
				e.errorText = string(r.Str())
			}
		case "result":
			first := e.seen.add(memberResult)
			if first && r.Null() {
				continue
			}
			if r.want('{', first, "", "result") {
				e.hasResult = true
				result()
			}
		default:
			r.Skip()
		}
	}
	return e
}

// check returns a breach unless the answer is a success with a result.
func (e *envelope) check() error {
	switch {
	case e.seen&memberSuccess == 0:
		return breach(RuleMember, "", "success")
	case e.success && e.errorText != "", !e.success && e.hasResult:
		return breach(RuleContradiction, "", "%s", quote([]byte(e.errorText)))
	case !e.success:
		return breach(RuleError, "", "%s", quote([]byte(e.errorText)))
	case !e.hasResult:
		return breach(RuleMember, "", "result")
	}
	return nil
}

// result reads {"snapshot":{"when":…,"data":[…]}}.
func (r *reader) result() {
	first, there := true, false
	for r.Object(); r.more(); {
		if string(r.Key()) != "snapshot" {
			r.Skip()
			continue
		}
		if r.want('{', first, "", "snapshot") {
			r.snapshot()
		}
		first, there = false, true
	}
	if !there {
		r.broken(breach(RuleMember, "", "snapshot"))
	}
}

const (
	memberWhen members = 1 << iota
	memberData
)

func (r *reader) snapshot() {
	var seen members
	for r.Object(); r.more(); {
		switch string(r.Key()) {
		case "when":
			if r.want('"', seen.add(memberWhen), "", "when") {
				r.when()
			}
		case "data":
			if r.want('[', seen.add(memberData), "", "data") {
				for r.Array(); r.more(); {
					r.point()
				}
			}
		default:
			r.Skip()
		}
	}
	if seen&memberWhen == 0 {
		r.broken(breach(RuleMember, "", "when"))
	}
}

func (r *reader) when() {
	text := r.Str()
	if r.Err() == nil && r.v.when.UnmarshalText(text) != nil {
		r.v.when = time.Time{}
		r.broken(breach(RuleMember, "", "when: %s", quote(text)))
	}
}

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
func (r *reader) number(metric string) Number {
	var n Number
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
	var h Histogram
	var seen members
	member := func(bit members, key string) Number {
		if !r.want('{', seen.add(bit), name, key) {
			return Number{}
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
		if i > len(m.Bounds) || i < len(m.Bounds) && bound.AsFloat() != float64(m.Bounds[i]) {
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
func (r *reader) bucket(metric string) (bound Number, n uint64) {
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
