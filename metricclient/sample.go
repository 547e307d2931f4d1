package metricclient

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// blanks separate the tokens of a line. Nothing else does, not even a carriage return.
const blanks = " \t"

// nameLabel is the label that Prometheus gives to a metric's name. A page must not have it.
const nameLabel = "__name__"

// sample is a line of the text format: name{label="value",...} value timestamp.
type sample struct {
	name   string
	labels []label
	value  string    // as it stands on the page
	number float64   // the value, rounded
	at     time.Time // in UTC; zero if the line does not say
}

type label struct{ name, value string }

// lines returns the lines of a page without the blanks that they begin with.
func (m MetricData) lines() iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.SplitSeq(string(m), "\n") {
			if !yield(strings.TrimLeft(line, blanks)) {
				return
			}
		}
	}
}

// isLineOf reports whether a line without leading blanks is one of the metric, well formed or not.
func isLineOf(line, metric string) bool {
	return strings.HasPrefix(line, metric) && (len(line) == len(metric) || !isNameByte(line[len(metric)]))
}

// parseSample reads a line of the text format 0.0.4 that has no leading blanks. It accepts what both parsers of Prometheus do, but for
// quoted names, which later formats have.
func parseSample(line string) (sample, error) {
	s, rest, err := parseSeries(line)
	if err == nil {
		err = s.setNumbers(rest)
	}
	if err != nil {
		return sample{}, malformed(line, err)
	}
	return s, nil
}

// malformed returns the error of a line.
func malformed(line string, reason error) error {
	return fmt.Errorf("malformed line: %w: %s", reason, excerpt(strings.TrimRight(line, blanks)))
}

// parseSeries reads the name and the labels at the beginning of a line.
func parseSeries(line string) (s sample, rest string, err error) {
	s.name, rest = cutName(line)
	if s.name == "" {
		return s, "", errors.New("no name")
	}
	rest = strings.TrimLeft(rest, blanks)
	if text, ok := strings.CutPrefix(rest, "{"); ok {
		s.labels, rest, err = parseLabels(text)
	}
	return s, rest, err
}

// cutName splits a text behind the name of a metric. The name is empty if there is none.
func cutName(text string) (name, rest string) {
	n := 0
	for n < len(text) && isNameByte(text[n]) {
		n++
	}
	if n > 0 && isDigit(text[0]) {
		n = 0
	}
	return text[:n], text[n:]
}

func isNameByte(c byte) bool { return c == ':' || isLabelByte(c) }

func isLabelByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || isDigit(c)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isMetricName reports whether the format allows a name.
func isMetricName(s string) bool {
	name, rest := cutName(s)
	return name != "" && rest == ""
}

// parseLabels reads labels and their closing brace.
func parseLabels(text string) (labels []label, rest string, err error) {
	for {
		text = strings.TrimLeft(text, blanks)
		if rest, ok := strings.CutPrefix(text, "}"); ok {
			return labels, rest, checkOnce(labels)
		}
		var l label
		if l, text, err = parseLabel(text); err != nil {
			return nil, "", err
		}
		labels = append(labels, l)
		text = strings.TrimLeft(text, blanks)
		if after, ok := strings.CutPrefix(text, ","); ok {
			text = after
		} else if !strings.HasPrefix(text, "}") {
			return nil, "", errors.New("no comma between labels")
		}
	}
}

// checkOnce returns an error if a label is there twice.
func checkOnce(labels []label) error {
	names := make([]string, 0, 16) // on the stack, if there are not more
	for _, l := range labels {
		names = append(names, l.name)
	}
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			return errors.New("a label twice")
		}
	}
	return nil
}

// parseLabel reads name="value" at the beginning of text.
func parseLabel(text string) (l label, rest string, err error) {
	n := 0
	for n < len(text) && isLabelByte(text[n]) {
		n++
	}
	l.name = text[:n]
	rest, ok := strings.CutPrefix(strings.TrimLeft(text[n:], blanks), "=")
	switch {
	case !ok, n == 0, isDigit(text[0]):
		return l, "", errors.New("no label name")
	case l.name == nameLabel:
		return l, "", errors.New("the label " + nameLabel + " is reserved")
	}
	rest, ok = strings.CutPrefix(strings.TrimLeft(rest, blanks), `"`)
	if !ok {
		return l, "", errors.New("no label value")
	}
	l.value, rest, err = unquote(rest)
	if err == nil && !utf8.ValidString(l.value) {
		err = errors.New("a label value that is not UTF-8")
	}
	return l, rest, err
}

// unquote reads the rest of a label value and its closing quote.
func unquote(text string) (value, rest string, err error) {
	var b strings.Builder
	for {
		i := strings.IndexAny(text, `"\`)
		switch {
		case i < 0 || i == len(text)-1 && text[i] == '\\':
			return "", "", errors.New("a label value without end")
		case text[i] == '"' && b.Len() == 0:
			return text[:i], text[i+1:], nil // the usual case: nothing is escaped, nothing copied
		case text[i] == '"':
			b.WriteString(text[:i])
			return b.String(), text[i+1:], nil
		}
		b.WriteString(text[:i])
		c, err := unescape(text[i+1])
		if err != nil {
			return "", "", fmt.Errorf("%w in a label value", err)
		}
		b.WriteByte(c)
		text = text[i+2:]
	}
}

// unescape returns what a letter behind a backslash stands for.
func unescape(c byte) (byte, error) {
	switch c {
	case '\\', '"':
		return c, nil
	case 'n':
		return '\n', nil
	}
	return 0, errors.New("an unknown escape")
}

// setNumbers reads what stands behind name and labels.
func (s *sample) setNumbers(text string) (err error) {
	value, rest := cutToken(text)
	timestamp, rest := cutToken(rest)
	switch {
	case value == "":
		return errors.New("no value")
	case rest != "":
		return errors.New("more than a value and a timestamp")
	}
	s.value = value
	if s.number, err = parseNumber(value); err != nil {
		return err
	}
	if timestamp == "" {
		return nil
	}
	ms, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return errors.New("the timestamp is not a number of milliseconds")
	}
	s.at = time.UnixMilli(ms).UTC()
	return nil
}

// cutToken returns the token that a text begins with, and what follows it, both without the blanks around them.
func cutToken(text string) (token, rest string) {
	text = strings.TrimLeft(text, blanks)
	if i := strings.IndexAny(text, blanks); i >= 0 {
		return text[:i], strings.TrimLeft(text[i:], blanks)
	}
	return text, ""
}

// parseNumber reads a value. Its notation is Go's, without underscores and hexadecimal digits.
func parseNumber(text string) (float64, error) {
	f, err := strconv.ParseFloat(text, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) && !strings.ContainsAny(text, "_pP"):
		return 0, errors.New("the value does not fit a float64")
	case err != nil, strings.ContainsAny(text, "_pP"):
		return 0, errors.New("the value is not a number")
	}
	return f, nil
}

// label returns the value of a label, and whether the sample has it.
func (s *sample) label(name string) (string, bool) {
	for _, l := range s.labels {
		if l.name == name {
			return l.value, true
		}
	}
	return "", false
}

// has reports whether the sample has all the labels. An empty value is the same as no label.
func (s *sample) has(want map[string]string) bool {
	for name, value := range want {
		if got, _ := s.label(name); got != value {
			return false
		}
	}
	return true
}

// integer returns the exact value, which may be written like 42, 42.0 or 4.2e1.
func (s *sample) integer() (int64, error) {
	if n, err := strconv.ParseInt(s.value, 10, 64); err == nil {
		return n, nil
	}
	digits, ok := "", false
	if !math.IsNaN(s.number) && !math.IsInf(s.number, 0) {
		digits, ok = wholeDigits(s.value)
	}
	if !ok {
		return 0, fmt.Errorf("the value is not an integer: %s", excerpt(s.value))
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the value does not fit an int64: %s", excerpt(s.value))
	}
	return n, nil
}

// wholeDigits returns a decimal number without its point and its exponent, and whether that is possible: whether it is an integer. One
// beyond int64 may lose digits, but not come back into its range.
func wholeDigits(number string) (digits string, ok bool) {
	mantissa, exponent := number, "0"
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		mantissa, exponent = number[:i], number[i+1:]
	}
	sign := ""
	if strings.HasPrefix(mantissa, "-") {
		sign = "-"
	}
	whole, fraction, _ := strings.Cut(strings.TrimLeft(mantissa, "+-"), ".")
	all := strings.TrimLeft(whole+fraction, "0")
	significant := strings.TrimRight(all, "0")
	if significant == "" {
		return "0", true
	}
	shift, err := strconv.Atoi(exponent)
	if err != nil {
		return "", false // it is so far below zero that it does not fit an int
	}
	shift += len(all) - len(significant) - len(fraction)
	if shift < 0 {
		return "", false
	}
	const tooMany = 20 // digits for an int64
	return sign + significant + strings.Repeat("0", min(shift, tooMany)), true
}
