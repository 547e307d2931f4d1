package collect

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/simulate/liars"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// TestLiars scrapes each liar alone, a few times, and checks the reason on the page. A refused liar
// may have been served before it lied.
func TestLiars(t *testing.T) {
	for _, liar := range liars.All() {
		t.Run(liar.Topic+"/"+liar.Name, func(t *testing.T) {
			wants := testkit.Reasons(liar)
			n := newNode(t, func(o *Options) {
				if slices.Contains(wants, "stalled") {
					o.SandboxTimeout = 100 * time.Millisecond
				}
			})
			s, err := liar.Start(n.root, simulate.Spec{ID: "x"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Remove() })
			if liar.Topic == "savings" {
				n.look()
				n.savingsBudget("x").limit = stalledTimeout // some stall here, which must not affect the metrics
			}
			met := false
			for range 4 {
				got := failureOf(n.page())
				met = met || slices.Contains(wants, got)
				if got != "" && !slices.Contains(wants, got) {
					t.Errorf("refused for %q, want %q; the log says\n%s", got, wants, strings.Join(n.logLines(), "\n"))
				}
			}
			if !met {
				t.Errorf("never refused for %q", wants)
			}
		})
	}
}

// failureOf returns the failure reason of the only sandbox on the page, "" for none, or "absent".
func failureOf(page string) string {
	for _, line := range series(page, "runsc_meta_sandbox_failure{") {
		return strings.Split(line, `"`)[1]
	}
	if len(series(page, "runsc_meta_sandbox_presence{")) == 0 {
		return "absent"
	}
	return ""
}
