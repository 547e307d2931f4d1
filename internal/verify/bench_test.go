package verify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// BenchmarkExport verifies a reply of 60 points against the last one.
func BenchmarkExport(b *testing.B) {
	s := compile(b, string(testkit.Testdata(b, "registration.json")))
	var points []string
	for i := range s.Metrics {
		if m := &s.Metrics[i]; len(m.Fields) == 0 && m.Type == schema.Counter && len(points) < 60 {
			points = append(points, fmt.Sprintf(`{"metric":{"name":"%s%s,"val":{"int":%d}}`, m.Name, m.Definition, 1000+i))
		}
	}
	expected := replyAt(time.Now(), points...)
	bench := func(name, text string) {
		reply := []byte(text)
		b.Run(name, func(b *testing.B) {
			var v Verifier
			var base Baseline
			var err error
			b.SetBytes(int64(len(reply)))
			b.ReportAllocs()
			for b.Loop() {
				if base, err = v.Export(control.NewReply(reply), s, base, time.Now()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(points)), "ns/point")
		})
	}
	bench("form=expected", expected)
	bench("form=other", strings.ReplaceAll(expected, `,"val"`, `, "val"`))
}
