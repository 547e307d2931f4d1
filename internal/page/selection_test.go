package page

import (
	"fmt"
	"testing"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// inPod returns a sandbox in a pod.
func inPod(id, namespace, pod string) snapshot.Sandbox {
	s := sandbox(id, nil)
	s.Labels.Namespace, s.Labels.Pod = namespace, pod
	return s
}

// TestExactSelection: all keys have to match. A key matches if one of its values matches.
func TestExactSelection(t *testing.T) {
	b := NewBuilder(Options{Prefix: "runsc_", Naming: RunscNaming, DropIn: true})
	snap := snapshotOf(inPod("a", "shop", "web-1"), inPod("b", "shop", "web-2"), inPod("c", "bank", "web-1"), inPod("d", "", ""))
	check := func(what string, want Selection, sandboxes string) {
		t.Helper()
		wanted := []string{"process_start_time_seconds gauge: ", "runsc_meta_metric_server_presence gauge: "}
		if sandboxes != "" {
			wanted = append(wanted, "runsc_meta_sandbox_running gauge: "+sandboxes)
		}
		expect(t, what, b.Build(snap, want), wanted...)
	}
	check("all", Selection{}, "a b c d")
	check("a sandbox", Selection{Sandboxes: NewValues([]string{"b"})}, "b")
	check("two sandboxes", Selection{Sandboxes: NewValues([]string{"d", "a"})}, "a d")
	check("no such sandbox", Selection{Sandboxes: NewValues([]string{"x"})}, "")
	check("a beginning is no match", Selection{Pods: NewValues([]string{"web"})}, "")
	check("a pod name in any namespace", Selection{Pods: NewValues([]string{"web-1"})}, "a c")
	check("a namespace", Selection{Namespaces: NewValues([]string{"shop"})}, "a b")
	check("a pod of a namespace", Selection{Pods: NewValues([]string{"web-1"}), Namespaces: NewValues([]string{"shop"})}, "a")
	check("without a namespace", Selection{Namespaces: NewValues([]string{""})}, "d")
}

// TestNames: names of families match exactly, and the selection also applies to the server's own
// families.
func TestNames(t *testing.T) {
	b := NewBuilder(Options{Prefix: "runsc_", Naming: RunscNaming, DropIn: true})
	snap := snapshotOf(sandbox("a", register(t, "fs_opens c", "fs_reads c")))
	expect(t, "two names", b.Build(snap, Selection{Names: NewValues([]string{"runsc_fs_opens", "process_start_time_seconds"})}),
		"process_start_time_seconds gauge: ",
		"runsc_fs_opens counter: a")
	expect(t, "without its prefix", b.Build(snap, Selection{Names: NewValues([]string{"fs_opens"})}))
}

// TestShards: each sandbox is in exactly one shard, and the server's own families are in the first.
func TestShards(t *testing.T) {
	b := NewBuilder(Options{Prefix: "runsc_", Naming: RunscNaming, DropIn: true})
	snap := snapshotOf(sandbox("a", nil), sandbox("b", nil), sandbox("c", nil))
	// FNV-1a, 32 bits: a is 0xe40c292c, b is 0xe70c2de5, c is 0xe60c2c52.
	expect(t, "0/2", b.Build(snap, Selection{Shard: Shard{0, 2}}),
		"process_start_time_seconds gauge: ",
		"runsc_meta_metric_server_presence gauge: ",
		"runsc_meta_sandbox_running gauge: a c")
	expect(t, "1/2", b.Build(snap, Selection{Shard: Shard{1, 2}}), "runsc_meta_sandbox_running gauge: b")
	seen := 0
	for i := range 7 {
		for id := range 1000 {
			if (Shard{i, 7}).has(fmt.Sprint(id)) {
				seen++
			}
		}
	}
	if seen != 1000 {
		t.Errorf("1000 sandboxes are in seven shards %d times", seen)
	}
}

// TestValues: equal selections are equal, regardless of order and repetitions.
func TestValues(t *testing.T) {
	if NewValues([]string{"b", "a", "b"}) != NewValues([]string{"a", "b"}) {
		t.Error("the same values differ")
	}
	if NewValues(nil) != "" || NewValues([]string{""}) == "" {
		t.Error("no values and the empty value are the same")
	}
}
