package records

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

func compileMaybe(registration []byte) (*schema.Schema, error) { return schema.Compile(registration) }

// manyCounters returns a source with n counters.
func manyCounters(tb testing.TB, n int) snapshot.Source {
	tb.Helper()
	var metrics []string
	var samples []snapshot.Sample
	for i := range n {
		metrics = append(metrics, fmt.Sprintf(`{"name":"/counter/%05d","prometheus_name":"counter_of_something_%05d","description":"","cumulative":true}`, i, i))
		samples = append(samples, snapshot.Sample{Metric: int32(i), Series: uint32(i), Value: int64(i) * 1000})
	}
	return snapshot.Source{Schema: compile(tb, `{"metrics":[`+strings.Join(metrics, ",")+`]}`), Samples: samples}
}

// BenchmarkOf measures a record with 60 counters.
func BenchmarkOf(b *testing.B) {
	s := pod(b)
	s.Reported = manyCounters(b, 60)
	b.ReportAllocs()
	for b.Loop() {
		Of(s)
	}
}

// BenchmarkLine measures the line of such a record.
func BenchmarkLine(b *testing.B) {
	s := pod(b)
	s.Reported = manyCounters(b, 60)
	r := Of(s)
	b.ReportAllocs()
	for b.Loop() {
		r.Line()
	}
}

// BenchmarkWrite measures what it takes to append the line to a file.
func BenchmarkWrite(b *testing.B) {
	f, err := openFile(filepath.Join(b.TempDir(), "f"), 1<<20)
	if err != nil {
		b.Fatal(err)
	}
	defer f.close()
	line := Of(pod(b)).Line()
	for b.Loop() {
		if err := f.write(line); err != nil {
			b.Fatal(err)
		}
	}
}
