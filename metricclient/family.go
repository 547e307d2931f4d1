package metricclient

import (
	"cmp"
	"errors"
	"strings"
)

// A Family is the metadata of a metric on a page.
type Family struct {
	// Name is the name of the family. The samples of histograms and summaries have this name with
	// the suffix _bucket, _sum or _count.
	Name string
	// Help describes the metric. It is empty if the page has no HELP line.
	Help string
	// Type is counter, gauge, histogram, summary or untyped. It is untyped if the page has no TYPE
	// line.
	Type string
}

// Family returns the family of a metric. For a part of a histogram or a summary, such as _count,
// this is the family of the histogram or summary. A server puts a family on the page if at least
// one sandbox has a sample of it.
//
// It is an error if the page has no data about the metric ([ErrNoMetric]), or if a HELP or TYPE
// line of the family is malformed or duplicated.
func (m MetricData) Family(metric string) (f Family, err error) {
	defer wrap(&err, "family of %s", printable(metric))
	return m.family(m.familyName(metric))
}

// familyName returns the name of the family of a metric.
func (m MetricData) familyName(metric string) string {
	name := metric
	for line := range m.linesOf(metric) {
		if line[0] != '#' {
			continue
		}
		c, err := parseComment(line)
		if err != nil || c.keyword != "TYPE" || !c.describes(metric) {
			continue
		}
		if c.family == metric {
			return metric
		}
		name = c.family
	}
	return name
}

// family parses the comments of a family.
func (m MetricData) family(name string) (Family, error) {
	f := Family{Name: strings.Clone(name)} // do not retain the page
	times := map[string]int{}              // lines seen, by kind
	for line := range m.linesOf(name) {
		if line[0] != '#' {
			times["sample"]++
			continue
		}
		c, err := parseComment(line)
		if c.family != name {
			continue
		}
		if times[c.keyword]++; err == nil && times[c.keyword] > 1 {
			err = malformed(line, errors.New("a second "+c.keyword+" line"))
		}
		if err != nil {
			return Family{}, err
		}
		if c.keyword == "HELP" {
			f.Help = strings.Clone(c.text)
		} else {
			f.Type = c.text
		}
	}
	if len(times) == 0 {
		return Family{}, ErrNoMetric
	}
	f.Type = cmp.Or(f.Type, "untyped")
	return f, nil
}
