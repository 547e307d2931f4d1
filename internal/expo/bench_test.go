package expo

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// benchmarkPage returns a page of sandboxes that each have the first points series of today's registration.
func benchmarkPage(b testing.TB, sandboxes, points int) *Page {
	registration, err := os.ReadFile("testdata/registration.json")
	if err != nil {
		b.Fatal(err)
	}
	s, err := schema.Compile(registration)
	if err != nil {
		b.Fatal(err)
	}
	p := &Page{Time: 1795338783582}
	for i := range s.Metrics {
		m := &s.Metrics[i]
		p.Families = append(p.Families, Family{Name: "runsc_" + m.Name, Help: m.Help, Type: m.Type, Metric: []int32{int32(i)}})
	}
	text := NewSeriesText(s)
	for i := range sandboxes {
		src := Source{
			Labels: NewLabels("33sp8vo18t24b", "prod-ns", "nginx-7d8b49557c-abcde", fmt.Sprintf("sim-%04d", i)),
			Series: text,
			Time:   p.Time,
		}
		for k := range points {
			m := &s.Metrics[k]
			src.Samples = append(src.Samples, verify.Sample{Metric: int32(k), Series: m.First, Value: int64(i * k)})
		}
		p.Sources = append(p.Sources, src)
	}
	return p
}

func BenchmarkAppendText(b *testing.B) {
	const sandboxes, points = 1000, 60
	p := benchmarkPage(b, sandboxes, points)
	page := AppendText(nil, p)
	if n := bytes.Count(page, []byte("sandbox=")); n != sandboxes*points {
		b.Fatalf("%d samples", n)
	}
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		page = AppendText(page[:0], p)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*sandboxes*points), "ns/sample")
}
