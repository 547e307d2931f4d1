package schema

import (
	"slices"
	"strings"
	"testing"
)

// TestCadvisor: the families are sorted, and their names follow Prometheus's rules.
func TestCadvisor(t *testing.T) {
	if !slices.IsSortedFunc(Cadvisor.Metrics, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the families are not in the order of their names")
	}
	for i, m := range Cadvisor.Metrics {
		if m.First != uint32(i) || !m.Whole || !m.Open || !strings.HasPrefix(m.Name, "container_") || m.Help == "" {
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
