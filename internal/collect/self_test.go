package collect

import (
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// TestSelfMonitoring: the families about the collection count what it did, and those that report
// problems are there from the start.
func TestSelfMonitoring(t *testing.T) {
	n := newNode(t, func(o *Options) {
		o.Linger, o.LingerMax = time.Hour, 1000
		o.Counters = func() snapshot.Counters { return snapshot.Counters{ResponsesCutOff: fact.Of(int64(3), true)} }
	})
	n.start(simulate.Spec{ID: "fine"})
	ends := n.start(simulate.Spec{ID: "ended", OwnProcess: true})
	n.start(simulate.Spec{ID: "gone", NoSocket: true})
	n.look()
	ends.Stop()
	page := textWith(n.collect(), families.Options{BuildInfo: []snapshot.Label{{Name: "version", Value: "1.2"}}})
	n.expect(page, "sandmeter_build_info", `sandmeter_build_info{version="1.2"} 1`)
	n.expect(page, "sandmeter_sandboxes{", `sandmeter_sandboxes{query_status="ok"} 1`, `sandmeter_sandboxes{query_status="failed"} 1`, `sandmeter_sandboxes{query_status="not_running"} 1`)
	n.expect(page, "sandmeter_sandbox_up", `sandmeter_sandbox_up{sandbox="fine"} 1`, `sandmeter_sandbox_up{sandbox="gone"} 0`)
	n.expect(page, "sandmeter_sandboxes_failed{reason=\"unreachable", `sandmeter_sandboxes_failed{reason="unreachable"} 1`)
	n.expect(page, "sandmeter_sandboxes_failed{reason=\"stalled", `sandmeter_sandboxes_failed{reason="stalled"} 0`)
	n.expect(page, "sandmeter_collection_queries ", "sandmeter_collection_queries 1")
	n.expect(page, "sandmeter_responses_cut_off_total", "sandmeter_responses_cut_off_total 3")
	n.expect(page, "sandmeter_client_connections_closed_total") // nothing counts them
	for _, positive := range []string{"sandmeter_collection_received_bytes ", "sandmeter_collection_duration_seconds ", `sandmeter_sandbox_query_duration_seconds{`} {
		lines := series(page, positive)
		if len(lines) == 0 || strings.HasSuffix(lines[0], " 0") || strings.Contains(lines[0], " -") {
			t.Errorf("%s: %q", positive, lines)
		}
	}
	n.expect(n.page(), "sandmeter_collection_queries ", "sandmeter_collection_queries 1") // of the last collection, not all
}
