package e2e

import (
	"maps"
	"os"
	"testing"
)

// TestTotalsInPrometheus: Prometheus's parsers accept the golden pages of totals, read the same
// series in text and OpenMetrics.
func TestTotalsInPrometheus(t *testing.T) {
	t.Parallel()
	read := func(file, contentType string) scraped {
		t.Helper()
		page, err := os.ReadFile("../internal/totals/testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		s, err := readScraped(page, contentType)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		return s
	}
	for _, grouping := range []string{"none", "namespace"} {
		text := read(grouping+".txt", "text/plain; version=0.0.4; charset=utf-8")
		open := read(grouping+".openmetrics", "application/openmetrics-text; version=1.0.0; charset=utf-8")
		if len(text.values) == 0 || !maps.Equal(text.values, open.values) {
			t.Errorf("by %s, text has\n%v\nOpenMetrics has\n%v", grouping, text.values, open.values)
		}
	}
}
