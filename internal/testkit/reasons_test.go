//go:build linux

package testkit

import (
	"testing"

	"github.com/sandmeter/sandmeter/internal/simulate/liars"
)

// TestReasonsAreOfLiars finds reasons of liars that no longer exist, and topics without a reason.
func TestReasonsAreOfLiars(t *testing.T) {
	names := make(map[string]bool)
	for _, l := range liars.All() {
		names[l.Name] = true
		if _, known := wantsOfTopic[l.Topic]; !known {
			t.Errorf("topic %s has no reason", l.Topic)
		}
	}
	for name := range wants {
		if !names[name] {
			t.Errorf("wants has %s, which is not a liar", name)
		}
	}
}
