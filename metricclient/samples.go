package metricclient

import (
	"iter"
	"strconv"
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

// Samples returns the samples of the page in its order. A line that is none, and no comment, yields an error that quotes it; the lines
// behind it are read all the same.
func (m MetricData) Samples() iter.Seq2[Sample, error] {
	return func(yield func(Sample, error) bool) {
		for line := range strings.SplitSeq(string(m), "\n") {
			line = strings.Trim(line, blanks+"\r")
			if line == "" || line[0] == '#' {
				continue
			}
			if !yield(readSample(line)) {
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
	public := Sample{Name: s.name, Text: s.value}
	if public.Time, err = s.time(); err != nil {
		return Sample{}, err
	}
	if public.Value, err = strconv.ParseFloat(s.value, 64); err != nil {
		return Sample{}, err
	}
	for _, l := range s.labels {
		if public.Labels == nil {
			public.Labels = make(map[string]string, len(s.labels))
		}
		public.Labels[l.name] = l.value
	}
	return public, nil
}
