package collect

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/expo"
	"github.com/sandmeter/sandmeter/internal/sandboxtest"
)

// BenchmarkScrape takes whole pages of a fleet, which answers in the same process.
func BenchmarkScrape(b *testing.B) {
	const sandboxes, points = 250, 60
	root, err := os.MkdirTemp("", "sm")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(root)
	fleet, err := sandboxtest.StartFleet(root, sandboxes, sandboxtest.FleetOptions{Points: points})
	if err != nil {
		b.Fatal(err)
	}
	defer fleet.Remove()
	c, err := New(Options{RootDir: root, Prefix: "runsc_", SandboxTimeout: 2 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	var page []byte
	b.ReportAllocs()
	for b.Loop() {
		err := c.Collect(context.Background(), func() Request { return Request{Deadline: time.Now().Add(9 * time.Second)} },
			func(p *expo.Page) { page = expo.AppendText(page[:0], p) })
		if err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(page)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/sandboxes, "ns/sandbox")
}
