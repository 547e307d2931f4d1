package collect

import (
	"log/slog"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/expo"
	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// BenchmarkScrape makes whole pages of a fleet that runs in the same process.
func BenchmarkScrape(b *testing.B) {
	const sandboxes, points = 250, 60
	root := testkit.TempDir(b)
	fleet, err := simulate.StartFleet(root, sandboxes, simulate.FleetOptions{Points: points})
	if err != nil {
		b.Fatal(err)
	}
	defer fleet.Remove()
	c, err := New(Options{Roots: []string{root}, Linger: time.Hour, LingerMax: 1000, SandboxTimeout: 2 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	pages := page.NewBuilder(page.Options{Prefix: "runsc_", Naming: page.RunscNaming, Timestamps: true})
	var text []byte
	b.ReportAllocs()
	for b.Loop() {
		snap, err := c.Collect(Plan{Deadline: time.Now().Add(time.Minute)})
		if err != nil {
			b.Fatal(err)
		}
		text = expo.Text{}.Append(text[:0], pages.Build(snap, page.Selection{}))
	}
	b.SetBytes(int64(len(text)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/sandboxes, "ns/sandbox")
}
