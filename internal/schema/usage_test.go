package schema

import (
	"slices"
	"strings"
	"testing"
)

// TestUsage: the families are sorted, and their names follow Prometheus's rules.
func TestUsage(t *testing.T) {
	if !slices.IsSortedFunc(Usage.Metrics, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the families are not in the order of their names")
	}
	for i, m := range Usage.Metrics {
		if m.First != uint32(i) || !m.Whole || !strings.HasPrefix(m.Name, "sandmeter_") || m.Help == "" {
			t.Errorf("%+v", m)
		}
		if counter := strings.HasSuffix(m.Name, "_total"); counter != (m.Type == Counter) {
			t.Errorf("%s is a %s", m.Name, m.Type)
		}
		if seconds := strings.Contains(m.Name, "_seconds"); seconds && !m.Float {
			t.Errorf("%s is not a float", m.Name)
		}
	}
}
