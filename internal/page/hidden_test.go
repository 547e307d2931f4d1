package page

import (
	"testing"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// reporting returns a sandbox with one container that reports metrics, and of which the host measured
// something that cAdvisor has a name for too.
func reporting(id string, s *schema.Schema) snapshot.Sandbox {
	box := sandbox(id, s)
	box.Containers = []snapshot.Container{{ID: id, Name: id}}
	box.Usage = new(snapshot.Usage)
	box.Usage.Set(fact.OOMKills, 1)
	return box
}

// TestHidden: hidden sandboxes have no series, whatever the reason and the source. The server's own
// families about itself stay.
func TestHidden(t *testing.T) {
	one, other := register(t, "fs_opens c"), register(t, "only_hidden c")
	unregistered, limited := reporting("b", other), reporting("d", one)
	unregistered.Hidden, limited.Hidden = snapshot.HidUnregistered, snapshot.HidBySeriesLimit
	b := NewBuilder(Options{Prefix: "runsc_", Naming: RunscNaming, Families: families.Options{DropIn: true, Usage: families.BothNames}})
	snap := snapshotOf(reporting("a", one), unregistered, reporting("c", one), limited)
	expect(t, "two hidden sandboxes", b.Build(snap, Selection{}),
		"container_last_seen gauge: /a /c",
		"container_oom_events_total counter: /a /c",
		"container_start_time_seconds gauge: /a /c",
		"process_start_time_seconds gauge: ",
		"runsc_fs_opens counter: a c",
		"runsc_meta_metric_server_presence gauge: ",
		"runsc_meta_sandbox_running gauge: a c",
		"sandmeter_container_start_time_seconds gauge: a/a c/c",
		"sandmeter_sandbox_oom_kills_total counter: a c")
	expect(t, "a hidden sandbox that is selected", b.Build(snap, Selection{Sandboxes: snapshot.Selector{IDs: snapshot.NewValues([]string{"d"})}}),
		"process_start_time_seconds gauge: ",
		"runsc_meta_metric_server_presence gauge: ")
	if len(snap.Sandboxes) != 4 || snap.Sandboxes[1].Hidden != snapshot.HidUnregistered {
		t.Error("the snapshot has changed")
	}
}
