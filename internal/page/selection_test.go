package page

import (
	"testing"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// inPod returns a sandbox in a pod.
func inPod(id, namespace, pod string) snapshot.Sandbox {
	s := sandbox(id, nil)
	s.Labels.Namespace, s.Labels.Pod = namespace, pod
	return s
}

func values(texts ...string) snapshot.Values { return snapshot.NewValues(texts) }

// TestExactSelection: all keys have to match. A key matches if one of its values matches.
func TestExactSelection(t *testing.T) {
	b := NewBuilder(Options{Prefix: "runsc_", Naming: RunscNaming, Families: dropIn})
	snap := snapshotOf(inPod("a", "shop", "web-1"), inPod("b", "shop", "web-2"), inPod("c", "bank", "web-1"), inPod("d", "", ""))
	check := func(what string, want snapshot.Selector, sandboxes string) {
		t.Helper()
		wanted := []string{"process_start_time_seconds gauge: ", "runsc_meta_metric_server_presence gauge: "}
		if sandboxes != "" {
			wanted = append(wanted, "runsc_meta_sandbox_running gauge: "+sandboxes)
		}
		expect(t, what, b.Build(snap, Selection{Sandboxes: want}), wanted...)
	}
	check("all", snapshot.Selector{}, "a b c d")
	check("a sandbox", snapshot.Selector{IDs: values("b")}, "b")
	check("two sandboxes", snapshot.Selector{IDs: values("d", "a")}, "a d")
	check("no such sandbox", snapshot.Selector{IDs: values("x")}, "")
	check("a beginning is no match", snapshot.Selector{Pods: values("web")}, "")
	check("a pod name in any namespace", snapshot.Selector{Pods: values("web-1")}, "a c")
	check("a namespace", snapshot.Selector{Namespaces: values("shop")}, "a b")
	check("a pod of a namespace", snapshot.Selector{Pods: values("web-1"), Namespaces: values("shop")}, "a")
	check("without a namespace", snapshot.Selector{Namespaces: values("")}, "d")
}

// TestNames: names of families match exactly, and the selection also applies to the server's own
// families.
func TestNames(t *testing.T) {
	b := NewBuilder(Options{Prefix: "runsc_", Naming: RunscNaming, Families: dropIn})
	snap := snapshotOf(sandbox("a", register(t, "fs_opens c", "fs_reads c")))
	expect(t, "two names", b.Build(snap, Selection{Names: values("runsc_fs_opens", "process_start_time_seconds")}),
		"process_start_time_seconds gauge: ",
		"runsc_fs_opens counter: a")
	expect(t, "without its prefix", b.Build(snap, Selection{Names: values("fs_opens")}))
}

// TestShards: the server's own families about itself are in the first shard.
func TestShards(t *testing.T) {
	b := NewBuilder(Options{Prefix: "runsc_", Naming: RunscNaming, Families: dropIn})
	snap := snapshotOf(sandbox("a", nil), sandbox("b", nil), sandbox("c", nil))
	// FNV-1a, 32 bits: a is 0xe40c292c, b is 0xe70c2de5, c is 0xe60c2c52.
	expect(t, "0/2", b.Build(snap, Selection{Sandboxes: snapshot.Selector{Shard: snapshot.Shard{Index: 0, Count: 2}}}),
		"process_start_time_seconds gauge: ",
		"runsc_meta_metric_server_presence gauge: ",
		"runsc_meta_sandbox_running gauge: a c")
	expect(t, "1/2", b.Build(snap, Selection{Sandboxes: snapshot.Selector{Shard: snapshot.Shard{Index: 1, Count: 2}}}), "runsc_meta_sandbox_running gauge: b")
}
