package e2e

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/state"
)

// TestRegistrationOfThePinnedRunsc: docs/metrics.md, and simulated sandboxes, have the registration
// of the runsc that tools/go.mod pins.
func TestRegistrationOfThePinnedRunsc(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("sb", "idle")
	listing, err := state.NewRoot(w.root).List()
	w.must(err)
	if len(listing.Sandboxes) != 1 || listing.Sandboxes[0].Registration == nil {
		t.Fatalf("the root has %d sandboxes", len(listing.Sandboxes))
	}
	compile := func(registration []byte) []schema.Metric {
		t.Helper()
		s, err := schema.Compile(registration)
		w.must(err)
		return s.Metrics
	}
	real, recorded := compile(listing.Sandboxes[0].Registration.JSON), compile(simulate.RealRegistration().JSON())
	if diff := cmp.Diff(recorded, real, cmpopts.IgnoreUnexported(schema.Field{})); diff != "" {
		t.Errorf("registrations (-internal/simulate/registration.json +runsc):\n%s", diff)
	}
}
