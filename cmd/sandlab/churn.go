package main

import (
	"context"
	"time"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

const (
	// maxChurn is more than a machine can start.
	maxChurn = 1000
	// How long a sandbox lives in a churn.
	minLife = 2 * time.Second
	maxLife = 5 * time.Second
)

// runChurn simulates sandboxes that come and go until the context ends. At the end it prints how long
// they waited for their first query.
func (s simulation) runChurn(ctx context.Context, std cli.Stdio) error {
	err := std.Printf("Simulating %d sandboxes per second in %s until Ctrl-C. To serve them:\n\n  sandmeter serve --root %s\n", s.churn, s.root, s.root)
	if err != nil {
		return err
	}
	o := simulate.ChurnOptions{FleetOptions: s.options(), Rate: s.churn}
	o.Life.Min, o.Life.Max = minLife, maxLife
	stats, err := simulate.Churn(ctx, s.root, o)
	if err != nil {
		return s.failed(err)
	}
	return std.Printf("%d lives, %d of them queried. First query after the state file: %.1f ms (median), %.1f ms (99 %%), %.1f ms (longest). %d not started on time.\n",
		stats.Lives, len(stats.Waits), ms(stats.Percentile(0.5)), ms(stats.Percentile(0.99)), ms(stats.Percentile(1)), stats.Skipped)
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }
