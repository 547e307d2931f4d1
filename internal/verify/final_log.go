package verify

import (
	"bytes"
	"errors"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/jscan"
	"github.com/sandmeter/sandmeter/internal/schema"
)

// The lines of a final metrics log. A family, with a blank line before it, has at least one sample.
// The families are sorted by name. The log has the metrics of a reply: a counter that is zero is
// not in it. Its prefix does not depend on any setting.
const (
	finalHead   = "# Writing data from snapshot containing "
	finalTaken  = " data points taken at "
	finalHelp   = "# HELP "
	finalType   = "# TYPE "
	finalPrefix = "runsc_"
	finalEnd    = "\n# End of metric data.\n"
)

// FinalLog checks the final metrics log of a sandbox with the given schema, which was created and
// ended at these times by the host's clock, against its last baseline. The rules are those of
// Export, except that the log may be as old as the sandbox, and that it has exactly the form in
// which runsc writes it. If it keeps all rules, FinalLog returns it as the sandbox's last baseline,
// with the properties that Export promises. The error is a *Breach.
//
// A sandbox may reply once more after it has written its log. Then the last baseline is later than
// the log, and FinalLog returns it.
//
// No runsc registers a histogram, so the form of one in a log is not known, and a log with one is
// refused.
func (v *Verifier) FinalLog(reply control.Reply, s *schema.Schema, last Baseline, created, ended time.Time) (Baseline, error) {
	v.begin(s)
	defer v.clear()
	err := v.readFinal(reply.Untrusted())
	if err == nil {
		err = v.checkLife(&last, created, ended)
	}
	late := last.laterThan(v.when, ended)
	if err == nil && !late {
		err = v.checkProgress(&last)
	}
	if broken, ok := errors.AsType[*Breach](err); ok {
		broken.Final = true
		return Baseline{}, broken
	}
	if late {
		return last, nil
	}
	return v.baseline(&last), nil
}

// afterLog is how long after its final log a sandbox may reply. It ends some 30 ms after, and later on
// a busy node.
const afterLog = 2 * time.Second

// laterThan reports whether the baseline was taken after a time, if its own time makes sense beside
// that of the end, as in checkTime.
func (b *Baseline) laterThan(when, ended time.Time) bool {
	return when.Before(b.When) && !b.When.After(ended)
}

// checkLife checks that the log is of this life of the sandbox. An ID can be used again, and then
// the file may be of the life before or after.
func (v *Verifier) checkLife(last *Baseline, created, ended time.Time) error {
	switch {
	case v.when.After(ended):
		return breach(RuleFuture, "", "by %v", v.when.Sub(ended))
	case v.when.Before(created):
		return breach(RuleBefore, "", "by %v", created.Sub(v.when))
	case last.laterThan(v.when.Add(afterLog), ended):
		return breach(RuleOrder, "", "by %v", last.When.Sub(v.when))
	}
	return nil
}

// A finalReader reads a final metrics log, line by line. What it reads after a breach does not matter.
type finalReader struct {
	expected
	v      *Verifier
	points int64  // read so far
	line   int    // number of lines read
	metric string // the registered metric that is being read; empty: not known yet
	breach *Breach
}

// readFinal reads a log into the verifier. It returns an error, and never a nil *Breach in one.
func (v *Verifier) readFinal(data []byte) error {
	r := finalReader{expected: expected{data}, v: v}
	points := r.head()
	for metric := -1; r.breach == nil && string(r.data) != finalEnd; {
		metric = r.family(metric)
	}
	switch {
	case r.breach != nil:
		return r.breach
	case points != r.points:
		return breach(RuleForm, "", "it announces %d data points and has %d", points, r.points)
	}
	return nil
}

// must records a breach of the rule in the current line unless ok, if it is the first one, and returns
// ok. The line is untrusted, and may be text that does not belong into a log, so it is not quoted.
func (r *finalReader) must(ok bool, rule Rule, want string) bool {
	if !ok && r.breach == nil {
		r.breach = breach(rule, r.metric, "line %d: want %s", r.line, want)
	}
	return ok
}

// next returns the rest of the current line, without its end.
func (r *finalReader) next() expected {
	r.line++
	text, ok := r.until('\n')
	if !r.must(ok, RuleForm, "a line with an end") {
		return expected{}
	}
	r.data = r.data[1:]
	return expected{text}
}

// head reads the first line, and the blank one after it, and returns how many points are announced.
func (r *finalReader) head() (points int64) {
	line := r.next()
	r.must(line.literal(finalHead), RuleForm, "the line that says how many data points there are")
	text, _ := line.until(' ')
	points, ok := canonical(text)
	r.must(ok && line.literal(finalTaken), RuleForm, "the number of data points")
	text, ok = bytes.CutSuffix(line.data, []byte("."))
	if ok {
		r.v.when, ok = parseTime(text)
	}
	r.must(ok, RuleForm, "the time")
	r.blank()
	return points
}

func (r *finalReader) blank() {
	line := r.next()
	r.must(len(line.data) == 0, RuleForm, "a blank line")
}

// family reads the lines of a metric, which comes after the last one in the schema.
func (r *finalReader) family(last int) (metric int) {
	r.metric = ""
	r.blank()
	metric, ok := r.help()
	if !ok {
		return metric
	}
	m := &r.v.schema.Metrics[metric]
	r.must(metric > last, RuleForm, "the metrics in the order of their names")
	r.kind(m)
	for r.breach == nil {
		r.sample(metric, m)
		if len(r.data) > 0 && r.data[0] == '\n' {
			break
		}
	}
	return metric
}

// help reads "# HELP runsc_NAME TEXT". It returns false unless the metric is registered.
func (r *finalReader) help() (metric int, ok bool) {
	line := r.next()
	r.must(line.literal(finalHelp), RuleForm, "a HELP line, or the end")
	name, ok := line.until(' ')
	r.must(ok, RuleForm, "a help text")
	plain, ok := bytes.CutPrefix(name, []byte(finalPrefix))
	metric = r.v.schema.Find(plain)
	if !r.must(ok && metric >= 0, RuleUnregistered, "a registered metric") {
		return metric, false
	}
	m := &r.v.schema.Metrics[metric]
	r.metric = m.Name
	r.must(string(line.data[1:]) == schema.EscapeHelp(m.Help), RuleHelp, "its help text")
	return metric, true
}

// kind reads "# TYPE runsc_NAME TYPE".
func (r *finalReader) kind(m *schema.Metric) {
	line := r.next()
	r.must(line.literal(finalType) && line.literal(finalPrefix) && line.literal(m.Name) && line.literal(" "), RuleForm, "its TYPE line")
	r.must(string(line.data) == m.Type.String(), RuleType, m.Type.String())
	r.must(m.Type != schema.Histogram, RuleForm, "no histogram")
}

// sample reads "runsc_NAME{FIELD="VALUE"} NUMBER MILLISECONDS".
func (r *finalReader) sample(metric int, m *schema.Metric) {
	line := r.next()
	r.must(line.literal(finalPrefix) && line.literal(m.Name), RuleForm, "a sample")
	series := r.labels(&line, m)
	r.must(line.literal(" "), RuleForm, "a space before the value")
	text, ok := line.until(' ')
	if !r.must(ok, RuleForm, "a value and a timestamp") {
		return
	}
	number, ok := canonical(text)
	r.must(ok, RuleInteger, "an integer")
	ms, ok := canonical(line.data[1:])
	r.must(ok && ms == r.v.when.UnixMilli(), RuleForm, "the timestamp of the first line, in milliseconds")
	if r.points++; r.breach == nil {
		r.breach = r.v.put(metric, series, number)
	}
}

// canonical parses an integer in the form in which runsc writes it, which has no -0.
func canonical(text []byte) (n int64, ok bool) {
	n, ok = jscan.ParseInt(text)
	return n, ok && (n != 0 || len(text) == 1)
}

// labels reads the labels of a sample, which are sorted by name, and returns its series.
func (r *finalReader) labels(line *expected, m *schema.Metric) (series uint32) {
	series = m.First
	open := "{"
	for i := range m.Fields {
		f := &m.Fields[i]
		r.must(line.literal(open) && line.literal(f.Name) && line.literal(`="`), RuleLabels, f.Name)
		value, ok := labelValue(line)
		r.must(ok, RuleForm, "the value of a label")
		offset, allowed := f.Offset(value)
		r.must(allowed, RuleLabelValue, f.Name)
		series += offset
		open = ","
	}
	ends := len(m.Fields) == 0 || line.literal("}")
	r.must(ends && (len(line.data) == 0 || line.data[0] != '{'), RuleLabels, "no other labels")
	return series
}

// labelValue consumes the value of a label and the quote after it.
func labelValue(line *expected) (value []byte, ok bool) {
	end, escaped := 0, false
	for end < len(line.data) && line.data[end] != '"' {
		if line.data[end] == '\\' {
			escaped = true
			end++
		}
		end++
	}
	if end >= len(line.data) {
		return nil, false
	}
	value, line.data = line.data[:end], line.data[end+1:]
	if escaped {
		return unescape(value)
	}
	return value, true
}

// unescape undoes schema.EscapeLabel. Every backslash has a byte after it.
func unescape(text []byte) (value []byte, ok bool) {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\\' {
			i++
			switch c = text[i]; c {
			case 'n':
				c = '\n'
			case '\\', '"':
			default:
				return nil, false
			}
		}
		value = append(value, c)
	}
	return value, true
}
