//go:build linux

package testkit

import (
	"testing"

	"github.com/sandmeter/sandmeter/internal/simulate/liars"
)

// TestReasonsAreOfLiars finds reasons that are of no liar any more, and liars of which nothing is known.
func TestReasonsAreOfLiars(t *testing.T) {
	names := make(map[string]bool)
	for _, l := range liars.All() {
		names[l.Name] = true
		if _, known := wantsOfTopic[l.Topic]; !known {
			t.Errorf("nothing is known of topic %s", l.Topic)
		}
	}
	for name := range wants {
		if !names[name] {
			t.Errorf("wants has %s, which is no liar", name)
		}
	}
}
