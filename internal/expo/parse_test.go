package expo

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// parsedFamily is a family as parsed from a page.
type parsedFamily struct {
	name, help, kind string
	samples          []parsedSample
}

type parsedSample struct {
	name   string
	labels []snapshot.Label
	value  float64
	time   int64
}

// parsePage parses a page. It is stricter than Prometheus: families and labels have to be sorted
// and unique, and each family needs one HELP and one TYPE line before its samples.
func parsePage(page string) ([]parsedFamily, error) {
	var families []parsedFamily
	for lineNumber := 1; page != ""; lineNumber++ {
		line, rest, ok := strings.Cut(page, "\n")
		if !ok {
			return nil, fmt.Errorf("line %d does not end", lineNumber)
		}
		page = rest
		var err error
		if families, err = parseLine(families, line); err != nil {
			return nil, fmt.Errorf("line %d, %q: %w", lineNumber, line, err)
		}
	}
	for i := range families {
		switch f := &families[i]; {
		case f.kind == "" || len(f.samples) == 0:
			return nil, fmt.Errorf("family %s has no type or no samples", f.name)
		case i > 0 && families[i-1].name >= f.name:
			return nil, fmt.Errorf("family %s comes after %s", f.name, families[i-1].name)
		}
	}
	return families, nil
}

func parseLine(families []parsedFamily, line string) ([]parsedFamily, error) {
	if text, ok := strings.CutPrefix(line, "# HELP "); ok {
		name, help, ok := strings.Cut(text, " ")
		if !ok {
			return nil, fmt.Errorf("no help")
		}
		help, err := unescape(help, `\n`)
		return append(families, parsedFamily{name: name, help: help}), err
	}
	if len(families) == 0 {
		return nil, fmt.Errorf("no family yet")
	}
	f := &families[len(families)-1]
	if text, ok := strings.CutPrefix(line, "# TYPE "); ok {
		name, kind, ok := strings.Cut(text, " ")
		if !ok || name != f.name || f.kind != "" || len(f.samples) > 0 {
			return nil, fmt.Errorf("a type out of place")
		}
		f.kind = kind
		return families, nil
	}
	s, err := parseSample(line)
	if err != nil {
		return nil, err
	}
	part := strings.TrimPrefix(s.name, f.name)
	if s.name == part || part != "" && (f.kind != "histogram" || !slices.Contains([]string{"_bucket", "_sum", "_count"}, part)) {
		return nil, fmt.Errorf("a sample of another family than %s", f.name)
	}
	f.samples = append(f.samples, s)
	return families, nil
}

func parseSample(line string) (s parsedSample, err error) {
	name := strings.IndexAny(line, "{ ")
	if name <= 0 {
		return s, fmt.Errorf("no name")
	}
	s.name = line[:name]
	rest := line[name:]
	if rest[0] == '{' {
		if s.labels, rest, err = parseLabels(rest[1:]); err != nil {
			return s, err
		}
	}
	fields := strings.Split(rest, " ")
	if len(fields) != 3 || fields[0] != "" {
		return s, fmt.Errorf("not a value and a time: %q", rest)
	}
	if s.value, err = strconv.ParseFloat(fields[1], 64); err != nil {
		return s, err
	}
	s.time, err = strconv.ParseInt(fields[2], 10, 64)
	return s, err
}

// parseLabels parses labels up to the closing brace.
func parseLabels(text string) (labels []snapshot.Label, rest string, err error) {
	for {
		name, value, ok := strings.Cut(text, `="`)
		if !ok || strings.ContainsAny(name, "{},\" \\") || name == "" {
			return nil, "", fmt.Errorf("no label: %q", text)
		}
		if len(labels) > 0 && labels[len(labels)-1].Name >= name {
			return nil, "", fmt.Errorf("label %s comes after %s", name, labels[len(labels)-1].Name)
		}
		end := 0
		for end < len(value) && value[end] != '"' {
			if value[end] == '\\' {
				end++
			}
			end++
		}
		if end+1 >= len(value) {
			return nil, "", fmt.Errorf("no end of label %s", name)
		}
		after := value[end+1]
		rest = value[end+2:]
		if value, err = unescape(value[:end], `\n"`); err != nil {
			return nil, "", err
		}
		labels = append(labels, snapshot.Label{Name: name, Value: value})
		switch after {
		case '}':
			return labels, rest, nil
		case ',':
			text = rest
		default:
			return nil, "", fmt.Errorf("%q behind label %s", after, name)
		}
	}
}

// unescape removes backslash escapes from text. A backslash may precede only the bytes in escaped;
// n stands for a newline.
func unescape(text, escaped string) (string, error) {
	var out []byte
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\\' {
			i++
			if i == len(text) || strings.IndexByte(escaped, text[i]) < 0 {
				return "", fmt.Errorf("a bad escape in %q", text)
			}
			if c = text[i]; c == 'n' {
				c = '\n'
			}
		}
		out = append(out, c)
	}
	return string(out), nil
}
