package metricserver

import (
	"strings"
	"testing"
)

// TestProcessMetrics: process_start_time_seconds is there once, with the other families about the
// process and without.
func TestProcessMetrics(t *testing.T) {
	w := newWorld(t)
	for _, o := range []Options{{}, {ProcessMetrics: true}, {ProcessMetrics: true, DropIn: true}} {
		o.Addresses = []string{w.path("socket")}
		r := w.run(w.server(o))
		page := r.page()
		if n := strings.Count(page, "\nprocess_start_time_seconds "); n != 1 {
			t.Errorf("process_start_time_seconds is there %d times", n)
		}
		if got, want := strings.Contains(page, "\ngo_goroutines "), o.ProcessMetrics && !o.DropIn; got != want {
			t.Errorf("go_goroutines is there: %t, want %t", got, want)
		}
		w.must(r.stop())
	}
}
