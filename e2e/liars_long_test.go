package e2e

import (
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/simulate/liars"
)

// long are the liars whose texts in the state file would be on each of their lines. Without limits
// one adds 20 MB to the page, and the other makes it take minutes to parse.
var long = map[string]bool{"pod-long": true, "metadata-many": true}

// TestLongTextsOfOneSandboxCostTheOthersNothing: a long name or many labels of one sandbox do not
// make the page unreadable.
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
