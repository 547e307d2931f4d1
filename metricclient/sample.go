package metricclient

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// blanks separate the tokens of a line.
const blanks = " \t"

// sample is a line of the text format: name{label="value",...} value timestamp.
type sample struct {
	name      string
	labels    []label
	value     string
	timestamp string // milliseconds since 1970; empty if there is none
}

type label struct{ name, value string }

// familyType returns what a TYPE comment says: a family and its type. Both are empty for any other comment.
func familyType(line string) (family, kind string) {
	if fields := strings.Fields(line); len(fields) == 4 && fields[0] == "#" && fields[1] == "TYPE" {
		return fields[2], fields[3]
	}
	return "", ""
}

// isSampleOf reports whether a line that does not begin with blanks is a sample of the metric.
func isSampleOf(line, name string) bool {
	return len(line) > len(name) && strings.HasPrefix(line, name) && strings.IndexByte("{ \t", line[len(name)]) >= 0
}

// parseSample reads a line of the text format.
func parseSample(line string) (sample, error) {
	s, rest, err := parseSeries(line)
	if err == nil {
		err = s.setNumbers(strings.Fields(rest))
	}
	if err != nil {
		return sample{}, fmt.Errorf("malformed line: %w: %s", err, excerpt(line))
	}
	return s, nil
}

// parseSeries reads the name and the labels at the beginning of a line.
func parseSeries(line string) (s sample, rest string, err error) {
	end := strings.IndexAny(line, "{ \t")
	if end <= 0 {
		return s, "", errors.New("no name")
	}
	s.name, rest = line[:end], strings.TrimLeft(line[end:], blanks)
	rest, braced := strings.CutPrefix(rest, "{")
	if !braced {
		return s, rest, nil
	}
	for {
		rest = strings.TrimLeft(rest, blanks)
		if rest, ok := strings.CutPrefix(rest, "}"); ok {
			return s, rest, nil
		}
		var l label
		if l, rest, err = parseLabel(rest); err != nil {
			return s, "", err
		}
		if _, twice := s.label(l.name); twice {
			return s, "", errors.New("a label twice")
		}
		s.labels = append(s.labels, l)
		rest = strings.TrimLeft(rest, blanks)
		if after, ok := strings.CutPrefix(rest, ","); ok {
			rest = after
		} else if !strings.HasPrefix(rest, "}") {
			return s, "", errors.New("no comma between labels")
		}
	}
}

// parseLabel reads name="value" at the beginning of text.
func parseLabel(text string) (l label, rest string, err error) {
	name, rest, ok := strings.Cut(text, "=")
	l.name = strings.TrimRight(name, blanks)
	if !ok || !isLabelName(l.name) {
		return l, "", errors.New("no label name")
	}
	rest, ok = strings.CutPrefix(strings.TrimLeft(rest, blanks), `"`)
	if !ok {
		return l, "", errors.New("no label value")
	}
	l.value, rest, err = unquote(rest)
	return l, rest, err
}

func isLabelName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9' || i == 0) {
			return false
		}
	}
	return s != ""
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
		switch text[i+1] {
		case '\\', '"':
			b.WriteByte(text[i+1])
		case 'n':
			b.WriteByte('\n')
		default:
			return "", "", errors.New("an unknown escape in a label value")
		}
		text = text[i+2:]
	}
}

// setNumbers takes the fields behind name and labels. What they say is read when it is needed.
func (s *sample) setNumbers(fields []string) error {
	switch len(fields) {
	case 2:
		s.timestamp = fields[1]
	case 1:
	default:
		return fmt.Errorf("%d numbers instead of a value and a timestamp", len(fields))
	}
	s.value = fields[0]
	return nil
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
	f, err := strconv.ParseFloat(s.value, 64)
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return 0, fmt.Errorf("the value is no number: %s", excerpt(s.value))
	case math.IsNaN(f), math.IsInf(f, 0) && err == nil:
		return 0, fmt.Errorf("the value is no integer: %s", excerpt(s.value))
	case math.Abs(f) > math.MaxInt64:
		return 0, fmt.Errorf("the value does not fit an int64: %s", excerpt(s.value))
	}
	exact, ok := new(big.Rat).SetString(s.value)
	switch {
	case !ok || !exact.IsInt():
		return 0, fmt.Errorf("the value is no integer: %s", excerpt(s.value))
	case !exact.Num().IsInt64():
		return 0, fmt.Errorf("the value does not fit an int64: %s", excerpt(s.value))
	}
	return exact.Num().Int64(), nil
}

// time returns when the sample was taken, or the zero time if it does not say.
func (s *sample) time() (time.Time, error) {
	if s.timestamp == "" {
		return time.Time{}, nil
	}
	ms, err := strconv.ParseInt(s.timestamp, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("the timestamp is no number of milliseconds: %s", excerpt(s.timestamp))
	}
	return time.UnixMilli(ms).UTC(), nil
}
