package e2e

import (
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/simulate/liars"
)

// long are the liars whose texts in the state file would be on every line of theirs: without limits one costs a page 20 MB, and the other its
// reader minutes.
var long = map[string]bool{"pod-long": true, "metadata-many": true}

// TestLongTextsOfOneSandboxCostTheOthersNothing: a text that a user chose, or a label more, is no reason for a page that nobody can read.
func TestLongTextsOfOneSandboxCostTheOthersNothing(t *testing.T) {
	for name := range long {
		t.Run(name, func(t *testing.T) {
			w := newSimulatedWorld(t)
			w.simulate(simulate.Spec{ID: "good"})
			w.startServer(w.serveArgs())
			before, _ := w.within(10 * time.Second)
			w.startLiars(func(l liars.Liar) bool { return l.Name == name })
			data, _ := w.within(10 * time.Second)
			if len(data) > len(before)+64<<10 {
				t.Fatalf("with it the page has %d bytes, without it %d", len(data), len(before))
			}
			parseTwice(t, data).wantFailure(t, "good", "")
		})
	}
}
