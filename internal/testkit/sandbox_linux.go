package testkit

import (
	"testing"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

// Start starts a simulated sandbox that is removed at the end of the test, unless the test has done
// so.
func Start(tb testing.TB, root string, spec simulate.Spec) *simulate.Sandbox {
	tb.Helper()
	s, err := simulate.Start(root, spec)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Remove() })
	return s
}
