package metricserver

import "testing"

// TestTotals: a server has totals by default, and a drop-in only if an option asks for them.
func TestTotals(t *testing.T) {
	check := func(o Options, want bool, annotation string) {
		t.Helper()
		s, err := New(o)
		if err != nil {
			t.Errorf("%+v: %v", o, err)
			return
		}
		ledger, key := s.options.ledger()
		if (ledger != nil) != want || key != annotation {
			t.Errorf("by %q: totals %t, annotation %q", o.TotalsBy, ledger != nil, key)
		}
	}
	check(Options{}, true, "")
	check(Options{TotalsBy: TotalsByNamespace}, true, "")
	check(Options{TotalsBy: TotalsByAnnotation + "example.com/team"}, true, "example.com/team")
	check(Options{TotalsMetrics: []string{"fs_opens"}}, true, "")
	check(Options{TotalsBy: TotalsOff}, false, "")
	check(Options{DropIn: true}, false, "")
	check(Options{DropIn: true, TotalsBy: TotalsByNone}, true, "")
	check(Options{DropIn: true, TotalsMetrics: []string{"fs_opens"}}, true, "")
	check(Options{Usage: []string{UsageOff}}, true, "")
}
