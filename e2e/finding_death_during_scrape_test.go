package e2e

import "testing"

// A sandbox that dies while it is asked is dead when the page is written: it counts neither as running nor as broken.
func TestSandboxThatDiesDuringAScrapeIsNotBroken(t *testing.T) {
	w := newWorld(t)
	w.start("lives", "idle")
	w.start("killed", "idle")
	w.serve()
	w.scrape().wantLives(t, []string{"killed", "lives"}, nil)
	p, _ := w.scrapeDuringWhichDies("killed")
	p.wantLives(t, []string{"lives"}, []string{"killed"})
}
