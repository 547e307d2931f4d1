package verify

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// FuzzFinalLog: an accepted log has the lines that a simple writer makes of its values, in the order of the
// samples and in the time zone that it likes.
func FuzzFinalLog(f *testing.F) {
	s := compile(f, registration)
	for _, seed := range []string{final(), final(finalCalls, finalOpens5, finalConns0), final(finalHist), finalAt(ended.Add(1)), final(swapSamples(finalCalls))} {
		f.Add([]byte(seed))
	}
	f.Add(testkit.Testdata(f, "final_zone.log"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var v Verifier
		got, err := v.FinalLog(control.NewReply(data), s, Baseline{}, time.Time{}, ended)
		if err != nil {
			return
		}
		lines := func(log string) []string { return slices.Sorted(strings.Lines(log[strings.IndexByte(log, '\n'):])) }
		if got, want := lines(string(data)), lines(writeFinal(s, &got)); !slices.Equal(got, want) {
			t.Fatalf("got  %q\nwant %q", got, want)
		}
	})
}

// writeFinal returns the log of a baseline.
func writeFinal(s *schema.Schema, b *Baseline) string {
	var families []string
	for i, sample := range b.Samples {
		m := &s.Metrics[sample.Metric]
		if i == 0 || b.Samples[i-1].Metric != sample.Metric {
			families = append(families, finalHeadOf(m))
		}
		families[len(families)-1] += finalSample(m, sample.Series, sample.Value)
	}
	return finalAt(b.When, families...)
}

// BenchmarkFinalLog verifies the log of a real sandbox, and the longest one of its registration.
func BenchmarkFinalLog(b *testing.B) {
	s := compile(b, string(testkit.Testdata(b, "registration.json")))
	var families []string
	for i := range s.Metrics {
		families = append(families, fullFamily(&s.Metrics[i], 1<<40))
	}
	bench := func(name, log string) {
		reply := control.NewReply([]byte(log))
		b.Run(name, func(b *testing.B) {
			var v Verifier
			b.SetBytes(int64(len(log)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.FinalLog(reply, s, Baseline{}, time.Time{}, ended.AddDate(1, 0, 0)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	bench("log=real", string(testkit.Testdata(b, "final_network.log")))
	bench("log=longest", finalAt(when, families...))
}
