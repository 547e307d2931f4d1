package metricclient

import (
	"iter"
	"strings"
	"time"
)

// A Sample is one line of a page: the current value of one series.
type Sample struct {
	// Name is the metric name on the line. For histograms, it is the family name with the suffix
	// _bucket, _sum or _count.
	Name string
	// Labels are all labels of the series. It is nil if there are none.
	Labels map[string]string
	// Value is the value, rounded to a float64. Text is the value as written on the page.
	Value float64
	Text  string
	// Time is the timestamp in UTC, with millisecond precision. It is zero if the line has none.
	Time time.Time
}

// Samples returns the samples of the page in page order. A malformed sample, HELP line or TYPE line
// yields an error that quotes the beginning of the line; iteration continues with the next line.
// Each line is checked on its own: duplicate series or comments are not an error.
func (m MetricData) Samples() iter.Seq2[Sample, error] {
	return func(yield func(Sample, error) bool) {
		for line := range m.lines() {
			switch {
			case line == "":
			case line[0] == '#':
				if _, err := parseComment(line); err != nil && !yield(Sample{}, err) {
					return
				}
			case !yield(readSample(line)):
				return
			}
		}
	}
}

// readSample parses a line. The result does not retain the page.
func readSample(line string) (Sample, error) {
	s, err := parseSample(strings.Clone(line))
	if err != nil {
		return Sample{}, err
	}
	public := Sample{Name: s.name, Value: s.number, Text: s.value, Time: s.at}
	for _, l := range s.labels {
		if public.Labels == nil {
			public.Labels = make(map[string]string, len(s.labels))
		}
		public.Labels[l.name] = l.value
	}
	return public, nil
}
