package metricclient

import (
	"iter"
	"strings"
	"time"
)

// A Sample is one line of a page: the value that one series has.
type Sample struct {
	// Name is the name on the line. Those of a histogram are its family's with _bucket, _sum or _count behind it.
	Name string
	// Labels are all labels of the series; nil if it has none.
	Labels map[string]string
	// Value is the value, rounded to a float64. Text is it as it stands on the page.
	Value float64
	Text  string
	// Time is when the value was taken, in UTC and in milliseconds. It is zero if the line does not say.
	Time time.Time
}

// Samples returns the samples of the page in its order. A line that the format does not allow, be it a sample or a HELP or TYPE comment,
// yields an error that quotes its beginning; the lines after it are read all the same. Lines are judged one by one: it is no error that
// a series or a comment is there twice.
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

// readSample reads a line. What it returns does not hold on to the page.
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
