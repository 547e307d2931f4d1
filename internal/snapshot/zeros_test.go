package snapshot

import (
	"slices"
	"testing"

	"github.com/sandmeter/sandmeter/internal/schema"
)

// TestZeros: each series that the sandbox did not send follows in order, with its size.
func TestZeros(t *testing.T) {
	s, err := schema.Compile([]byte(`{"metrics":[
		{"name":"/a","prometheus_name":"a","description":"","cumulative":true},
		{"name":"/b","prometheus_name":"b","description":"","cumulative":true,"fields":[{"field_name":"no","allowed_values":["1","2","3"]}]},
		{"name":"/c","prometheus_name":"c","description":""}]}`))
	if err != nil {
		t.Fatal(err)
	}
	s.ShowZeros(schema.Zeros{Plain: true, Names: []string{"b"}})
	line := func(metric int) int { return s.Metrics[metric].LineSize + len("{}") }
	check := func(sent, want []Sample, size int) {
		t.Helper()
		source := Source{Labels: new(Labels), Schema: s, Samples: sent}
		if got := source.WithZeros(); !slices.Equal(got, want) {
			t.Errorf("%v becomes %v, want %v", sent, got, want)
		}
		if got := source.MeasureZeros(); got != size {
			t.Errorf("the zeros besides %v take %d bytes, want %d", sent, got, size)
		}
	}
	check(nil, []Sample{{0, 0, 0}, {1, 1, 0}, {1, 2, 0}, {1, 3, 0}}, line(0)+3*line(1))
	check([]Sample{{1, 2, 7}, {2, 4, 5}}, []Sample{{0, 0, 0}, {1, 1, 0}, {1, 2, 7}, {1, 3, 0}, {2, 4, 5}}, line(0)+2*line(1))
	check([]Sample{{0, 0, 1}, {1, 1, 2}, {1, 3, 3}}, []Sample{{0, 0, 1}, {1, 1, 2}, {1, 2, 0}, {1, 3, 3}}, line(1))
}
