package collect

import (
	"math"
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/claims"
)

// logUsage logs what is wrong with the figures that sandboxes report: once per sandbox and subject,
// and for few sandboxes per collection.
func (c *Collector) logUsage() {
	now := c.clock.Now()
	lines := 0
	for _, l := range c.table.sorted {
		if l.selected && l.now().runs() && lines < maxLinesPerCollection {
			lines += l.logUsage(now)
		}
	}
}

// logUsage logs what is new about the sandbox's figures, and returns the number of lines.
func (l *life) logUsage(now time.Time) (lines int) {
	r := &l.usage.reported
	if r.tally == nil {
		return 0
	}
	say := func(text string, attrs ...any) bool {
		allowed, silence := l.lines.take(now)
		if allowed {
			l.options.Logger.Warn(text, slices.Concat(l.attrs(), attrs, silence)...)
			lines++
		}
		return allowed
	}
	if f := r.news(l.failure); f != nil && say("Sandbox does not report the usage of its containers", "reason", f.Reason, "err", f) {
		r.loggedFailure = f.Reason
	}
	if n, suspicious := r.tally.Unknown(); suspicious && !r.loggedUnknown {
		r.loggedUnknown = say("Sandbox reports usage of unknown containers", "containers", n)
	}
	for of := range claims.Subjects {
		if v := r.tally.Verdict(of); v.Suspicious && !r.loggedDifferences[of] {
			r.loggedDifferences[of] = say("Sandbox reports other usage than the host measured", "of", of.String(), "difference_ratio", math.Round(v.Ratio*100)/100)
		}
	}
	return lines
}
