package metricclient

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// A Family is what a page says about a metric rather than about its samples.
type Family struct {
	// Name is the name of the family. Histograms and summaries have samples with other names: this with _bucket, _sum or _count behind it.
	Name string
	// Help describes the metric. It is empty if the page does not.
	Help string
	// Type is counter, gauge, histogram, summary or untyped. It is untyped, too, if the page does not say.
	Type string
}

// Family returns the family that a metric belongs to. For the parts of a histogram or a summary, such as its _count, that is the whole.
// Servers put a family on the page when at least one sandbox has a sample of it.
//
// Errors are: the page has nothing of the metric ([ErrNoMetric]), a HELP or TYPE line of the family is malformed or there twice.
func (m MetricData) Family(metric string) (f Family, err error) {
	defer func() {
		if err != nil {
			f, err = Family{}, fmt.Errorf("family of %s: %w", printable(metric), err)
		}
	}()
	return m.family(m.familyName(metric))
}

// familyName returns the name of the family that a metric belongs to.
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

// family reads the comments of a family.
func (m MetricData) family(name string) (Family, error) {
	f := Family{Name: strings.Clone(name)} // not to hold on to the page
	times := map[string]int{}              // that there is a line of a kind
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
