package expo

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// benchmarkStart is the start time of the counters of all sandboxes.
const benchmarkStart = (pageTime - 3_600_123) * 1_000_000

func benchmarkPage(b testing.TB, sandboxes, points int) *page.Page {
	return build(benchmarkSnapshot(b, sandboxes, points))
}

// benchmarkSnapshot returns a snapshot of sandboxes. Each sandbox has the first points series of the
// current registration.
func benchmarkSnapshot(b testing.TB, sandboxes, points int) *snapshot.Snapshot {
	s, err := schema.Compile(testkit.Testdata(b, "registration.json"))
	if err != nil {
		b.Fatal(err)
	}
	snap := &snapshot.Snapshot{Time: time.UnixMilli(pageTime), Derived: new(schema.Memo)}
	for i := range sandboxes {
		l := labels("33sp8vo18t24b", "prod-ns", "nginx-7d8b49557c-abcde", fmt.Sprintf("sim-%04d", i))
		reported := snapshot.Source{Labels: l, Schema: s, Time: pageTime, Start: benchmarkStart}
		for k := range points {
			reported.Samples = append(reported.Samples, snapshot.Sample{Metric: int32(k), Series: s.Metrics[k].First, Value: int64(i * k)})
		}
		snap.Sandboxes = append(snap.Sandboxes, running(reported))
	}
	return snap
}

// BenchmarkText and the benchmarks of the other formats render the same page, so their results are
// comparable.
func BenchmarkText(b *testing.B)        { benchmark(b, Text{}) }
func BenchmarkOpenMetrics(b *testing.B) { benchmark(b, OpenMetrics{}) }
func BenchmarkProtobuf(b *testing.B)    { benchmark(b, Protobuf{}) }

// BenchmarkHistograms renders histograms with one field, and counters with five.
func BenchmarkHistograms(b *testing.B) {
	const sandboxes = 1000
	snap := &snapshot.Snapshot{Time: time.UnixMilli(pageTime)}
	for range sandboxes {
		snap.Sandboxes = append(snap.Sandboxes, golden(b).Sandboxes[1])
	}
	p := build(snap)
	for _, format := range []Format{Text{}, OpenMetrics{}, Protobuf{}} {
		b.Run(nameOf(format), func(b *testing.B) {
			text := format.Append(nil, p)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				text = format.Append(text[:0], p)
			}
		})
	}
}

func benchmark(b *testing.B, format Format) {
	const sandboxes, points = 1000, 60
	const samples = sandboxes * (points + ownSeries)
	p := benchmarkPage(b, sandboxes, points)
	text := format.Append(nil, p)
	if n := bytes.Count(text, []byte("nginx-7d8b49557c-abcde")); n != samples {
		b.Fatalf("%d samples, want %d", n, samples)
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		text = format.Append(text[:0], p)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*samples), "ns/sample")
}
