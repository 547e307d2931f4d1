package metricclient

import (
	"errors"
	"fmt"
	"iter"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// blanks separate the tokens of a line. No other characters do, not even a carriage return.
const blanks = " \t"

// nameLabel is the label that Prometheus uses for the metric name. It must not be on a page.
const nameLabel = "__name__"

// sample is a line of the text format: name{label="value",...} value timestamp.
type sample struct {
	name   string
	labels []label
	value  string    // as written on the page
	number float64   // the value, rounded
	at     time.Time // in UTC; zero if the line has no timestamp
}

type label struct{ name, value string }

// lines returns the lines of a page without their leading blanks.
func (m MetricData) lines() iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.SplitSeq(string(m), "\n") {
			if !yield(strings.TrimLeft(line, blanks)) {
				return
			}
		}
	}
}

// isLineOf reports whether a line without leading blanks belongs to the metric. The line may be
// malformed.
func isLineOf(line, metric string) bool {
	return strings.HasPrefix(line, metric) && (len(line) == len(metric) || !isNameByte(line[len(metric)]))
}

// parseSample parses a line of the text format 0.0.4 without leading blanks. It accepts the lines
// that both Prometheus parsers accept, except quoted names, which only later formats have.
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

// malformed returns the error for a line.
func malformed(line string, reason error) error {
	return fmt.Errorf("malformed line: %w: %s", reason, excerpt(strings.TrimRight(line, blanks)))
}

// parseSeries parses the name and the labels at the beginning of a line.
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

// cutName splits text after the leading metric name. The name is empty if there is none.
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

// isMetricName reports whether s is a valid metric name.
func isMetricName(s string) bool {
	name, rest := cutName(s)
	return name != "" && rest == ""
}

// parseLabels parses labels and the closing brace.
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

// checkOnce returns an error if a label is duplicated.
func checkOnce(labels []label) error {
	names := make([]string, 0, 16) // stays on the stack for up to 16 labels
	for _, l := range labels {
		names = append(names, l.name)
	}
	slices.Sort(names)
	if len(slices.Compact(names)) < len(labels) {
		return errors.New("a label twice")
	}
	return nil
}

// parseLabel parses name="value" at the beginning of text.
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

// unquote parses the rest of a label value and the closing quote.
func unquote(text string) (value, rest string, err error) {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++ // no quote ends the value right after it
		case '"':
			value, err = unescape(text[:i])
			return value, text[i+1:], err
		}
	}
	return "", "", errors.New("a label value without end")
}

// unescape returns the text of a label value or a HELP line without its escapes.
func unescape(text string) (string, error) {
	if !strings.Contains(text, `\`) {
		return text, nil // usual case: no copy
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, `\`)
		b.WriteString(before)
		switch {
		case !found:
			return b.String(), nil
		case after == "":
			return "", errors.New("a backslash at the end of the text")
		case after[0] == 'n':
			b.WriteByte('\n')
		case after[0] == '\\', after[0] == '"':
			b.WriteByte(after[0])
		default:
			return "", errors.New("an unknown escape")
		}
		text = after[1:]
	}
}

// setNumbers parses the text after the name and the labels.
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

// cutToken returns the first token of a text and the rest, both without surrounding blanks.
func cutToken(text string) (token, rest string) {
	text = strings.TrimLeft(text, blanks)
	if i := strings.IndexAny(text, blanks); i >= 0 {
		return text[:i], strings.TrimLeft(text[i:], blanks)
	}
	return text, ""
}

// parseNumber parses a value in Go notation, without underscores and hexadecimal digits.
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

// has reports whether the sample has all the labels. An empty value is the same as an absent label.
func (s *sample) has(want map[string]string) bool {
	for name, value := range want {
		i := slices.IndexFunc(s.labels, func(l label) bool { return l.name == name })
		if i < 0 && value != "" || i >= 0 && s.labels[i].value != value {
			return false
		}
	}
	return true
}

// maxNumber is the length of the longest number that is read exactly. A longer one would take too long.
const maxNumber = 4 << 10

// integer returns the exact value, which can be written as 42, 42.0 or 4.2e1.
func (s *sample) integer() (int64, error) {
	if n, err := strconv.ParseInt(s.value, 10, 64); err == nil {
		return n, nil
	}
	exact, ok := new(big.Rat), false
	if len(s.value) <= maxNumber {
		exact, ok = exact.SetString(s.value) // not NaN, infinity, or a tiny exponent
	}
	switch {
	case !ok || !exact.IsInt():
		return 0, fmt.Errorf("the value is not an integer: %s", excerpt(s.value))
	case !exact.Num().IsInt64():
		return 0, fmt.Errorf("the value does not fit an int64: %s", excerpt(s.value))
	}
	return exact.Num().Int64(), nil
}
