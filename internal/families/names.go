package families

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// MaxTotalsCounters is how many registered counters totals may have.
const MaxTotalsCounters = 32

// CheckTotals returns an error if totals cannot have the sums of registered counters of these names.
func CheckTotals(names []string) error {
	if len(names) > MaxTotalsCounters {
		return fmt.Errorf("of %d counters: give at most %d", len(names), MaxTotalsCounters)
	}
	taken := make(map[string]string) // the family or metric that has the name
	for _, s := range []*schema.Schema{Server, Sandbox, Usage, TotalsSchema(nil, true, true)} {
		for i := range s.Metrics {
			for _, name := range pageNames(&s.Metrics[i]) {
				taken[name] = s.Metrics[i].Name
			}
		}
	}
	for i, name := range names {
		switch {
		case !schema.ValidName(name):
			return fmt.Errorf("%s: give a name as runsc registers it, without prefix, such as fs_opens", schema.Quote(name))
		case slices.Contains(names[:i], name):
			return fmt.Errorf("%s: given twice", schema.Quote(name))
		}
		if err := takeNames(taken, name); err != nil {
			return err
		}
	}
	return nil
}

// takeNames takes the names of a counter's sum. Only a registration tells whether it is a time, so it
// takes the names of both.
func takeNames(taken map[string]string, counter string) error {
	for _, unit := range []schema.Unit{schema.NoUnit, schema.Nanoseconds} {
		m := counterMetric(snapshot.TotalsCounter{Name: counter, Unit: unit})
		for _, name := range pageNames(&m) {
			if by, is := taken[name]; is && by != counter {
				return fmt.Errorf("%s: the name of its family, %s, conflicts with %s: leave it out", schema.Quote(counter), m.Name, by)
			}
			taken[name] = counter
		}
	}
	return nil
}

// pageNames returns all names that a family and its samples have in any format.
func pageNames(m *schema.Metric) []string {
	names := []string{m.Name}
	base := m.Name
	switch m.Type {
	case schema.Counter:
		base = strings.TrimSuffix(m.Name, "_total")
		names = append(names, base)
	case schema.Histogram:
		for _, suffix := range schema.HistogramSuffixes {
			names = append(names, base+suffix)
		}
	case schema.Gauge:
		return names
	}
	return append(names, base+"_created")
}
