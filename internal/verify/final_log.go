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
	late := err == nil && last.laterThan(v.when, ended)
	if err == nil && !late {
		err = v.checkProgress(&last)
	}
	if broken, ok := errors.AsType[*Breach](err); ok {
		broken.Final = true
	}
	if err != nil {
		return Baseline{}, err
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

// A finalReader reads a final metrics log, line by line.
type finalReader struct {
	expected
	v      *Verifier
	points int64 // read so far
	line   int   // number of lines read
}

// readFinal reads a log into the verifier. It returns an error, and never a nil *Breach in one.
func (v *Verifier) readFinal(data []byte) error {
	r := finalReader{expected: expected{data}, v: v}
	points, b := r.head()
	for metric := -1; b == nil && string(r.data) != finalEnd; {
		metric, b = r.family(metric)
	}
	switch {
	case b != nil:
		return b
	case points != r.points:
		return breach(RuleForm, "", "it announces %d data points and has %d", points, r.points)
	}
	return nil
}

// wrong is the breach of a line that has another form. The line is untrusted, and may be text that
// does not belong into a log, so it is not quoted.
func (r *finalReader) wrong(metric, want string) *Breach {
	return breach(RuleForm, metric, "line %d: want %s", r.line, want)
}

// next returns the rest of the current line, without its end.
func (r *finalReader) next() (line expected, ok bool) {
	r.line++
	text, ok := r.until('\n')
	if ok {
		r.data = r.data[1:]
	}
	return expected{text}, ok
}

// head reads the first line, and the blank one after it, and returns how many points are announced.
func (r *finalReader) head() (points int64, b *Breach) {
	line, ok := r.next()
	if !ok || !line.literal(finalHead) {
		return 0, r.wrong("", "the line that says how many data points there are")
	}
	text, _ := line.until(' ')
	if points, ok = canonical(text); !ok || !line.literal(finalTaken) {
		return 0, r.wrong("", "the number of data points")
	}
	text, ok = bytes.CutSuffix(line.data, []byte("."))
	if ok {
		r.v.when, ok = parseTime(text)
	}
	if !ok {
		return 0, r.wrong("", "the time")
	}
	return points, r.blank()
}

func (r *finalReader) blank() *Breach {
	if line, ok := r.next(); !ok || len(line.data) > 0 {
		return r.wrong("", "a blank line")
	}
	return nil
}

// family reads the lines of a metric, which comes after the last one in the schema.
func (r *finalReader) family(last int) (metric int, b *Breach) {
	if b := r.blank(); b != nil {
		return 0, b
	}
	if metric, b = r.help(); b != nil {
		return 0, b
	}
	m := &r.v.schema.Metrics[metric]
	if metric <= last {
		return 0, r.wrong(m.Name, "the metrics in the order of their names")
	}
	if b := r.kind(m); b != nil {
		return 0, b
	}
	for {
		if b := r.sample(metric, m); b != nil {
			return 0, b
		}
		if len(r.data) > 0 && r.data[0] == '\n' {
			return metric, nil
		}
	}
}

// help reads "# HELP runsc_NAME TEXT".
func (r *finalReader) help() (metric int, b *Breach) {
	line, ok := r.next()
	if !ok || !line.literal(finalHelp) {
		return 0, r.wrong("", "a HELP line, or the end")
	}
	name, ok := line.until(' ')
	if !ok {
		return 0, r.wrong("", "a help text")
	}
	plain, ok := bytes.CutPrefix(name, []byte(finalPrefix))
	if metric = r.v.schema.Find(plain); !ok || metric < 0 {
		return 0, breach(RuleUnregistered, "", "line %d", r.line)
	}
	m := &r.v.schema.Metrics[metric]
	if string(line.data[1:]) != schema.EscapeHelp(m.Help) {
		return 0, breach(RuleHelp, m.Name, "line %d", r.line)
	}
	return metric, nil
}

// kind reads "# TYPE runsc_NAME TYPE".
func (r *finalReader) kind(m *schema.Metric) *Breach {
	line, ok := r.next()
	if !ok || !line.literal(finalType) || !line.literal(finalPrefix) || !line.literal(m.Name) || !line.literal(" ") {
		return r.wrong(m.Name, "its TYPE line")
	}
	if string(line.data) != m.Type.String() {
		return breach(RuleType, m.Name, "line %d: want %s", r.line, m.Type)
	}
	if m.Type == schema.Histogram {
		return r.wrong(m.Name, "no histogram")
	}
	return nil
}

// sample reads "runsc_NAME{FIELD="VALUE"} NUMBER MILLISECONDS".
func (r *finalReader) sample(metric int, m *schema.Metric) *Breach {
	line, ok := r.next()
	if !ok || !line.literal(finalPrefix) || !line.literal(m.Name) {
		return r.wrong(m.Name, "a sample")
	}
	series, b := r.labels(&line, m)
	if b != nil {
		return b
	}
	if !line.literal(" ") {
		return r.wrong(m.Name, "a space before the value")
	}
	text, ok := line.until(' ')
	if !ok {
		return r.wrong(m.Name, "a value and a timestamp")
	}
	number, ok := canonical(text)
	if !ok {
		return breach(RuleInteger, m.Name, "line %d", r.line)
	}
	if ms, ok := canonical(line.data[1:]); !ok || ms != r.v.when.UnixMilli() {
		return r.wrong(m.Name, "the timestamp of the first line, in milliseconds")
	}
	r.points++
	return r.v.put(metric, series, number)
}

// canonical parses an integer in the form in which runsc writes it, which has no -0.
func canonical(text []byte) (n int64, ok bool) {
	n, ok = jscan.ParseInt(text)
	return n, ok && (n != 0 || len(text) == 1)
}

// labels reads the labels of a sample, which are sorted by name, and returns its series.
func (r *finalReader) labels(line *expected, m *schema.Metric) (series uint32, b *Breach) {
	series = m.First
	for i := range m.Fields {
		f := &m.Fields[i]
		open := ","
		if i == 0 {
			open = "{"
		}
		if !line.literal(open) || !line.literal(f.Name) || !line.literal(`="`) {
			return 0, breach(RuleLabels, m.Name, "line %d", r.line)
		}
		value, ok := labelValue(line)
		if !ok {
			return 0, r.wrong(m.Name, "the value of "+f.Name)
		}
		offset, allowed := f.Offset(value)
		if !allowed {
			return 0, breach(RuleLabelValue, m.Name, "line %d: %s", r.line, f.Name)
		}
		series += offset
	}
	if len(m.Fields) > 0 && !line.literal("}") || len(line.data) > 0 && line.data[0] == '{' {
		return 0, breach(RuleLabels, m.Name, "line %d", r.line)
	}
	return series, nil
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
