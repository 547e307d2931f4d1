package collect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/roots"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// globbed returns a node whose roots match do*, and what keeps its lives. The roots have been listed.
func globbed(t *testing.T) (*node, *keeper) {
	t.Helper()
	n, k := newRecordedNode(t, func(o *Options) {
		o.Roots = []string{filepath.Join(o.Roots[0], "do*")}
		o.Registrations = &library{err: errUnknown}
	})
	n.look()
	return n, k
}

// expectLives checks the lives that have been closed, and that no more were served.
func (n *node) expectLives(k *keeper, want ...string) {
	n.Helper()
	k.await(n.T, len(want))
	n.finish(false)
	var got []string // without where their metrics are from, because a sample may be under way
	for _, s := range k.all() {
		got = append(got, s.Labels.Sandbox+" "+string(s.End.Outcome))
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		n.Errorf("closed are %q, want %q", got, want)
	}
	n.expect(n.page(), total, fmt.Sprintf("runsc_meta_num_sandboxes_total %d", len(want)))
}

// TestRootAppears: a sandbox whose root appears with it, and disappears with it, is a life, without a
// listing of the roots in between. A late event of it does not count again.
func TestRootAppears(t *testing.T) {
	n, l := globbed(t)
	var want []string
	for i := range 5 {
		id := fmt.Sprint("s", i)
		root, s := n.addRoot("do"+id, id, 51)
		n.arrive(s)
		if got := n.collector.Roots(); len(got) == 0 || got[len(got)-1] != root {
			t.Errorf("served are %q, want also %q", got, root)
		}
		n.must(os.RemoveAll(root))
		if i%2 == 0 {
			n.look()
		}
		n.arrive(s)
		want = append(want, id+" vanished")
	}
	n.look()
	n.expectLives(l, want...)
	if got := n.collector.Roots(); len(got) != 0 {
		t.Errorf("served are %q", got)
	}
}

// TestRootIsGone: if the root has disappeared before its sandbox could be read, that is a life, once.
func TestRootIsGone(t *testing.T) {
	n, l := globbed(t)
	for _, root := range []string{"do1", "do2", "do1", "other", "do1/below"} {
		n.collector.Arrive(filepath.Join(n.root, root), "a_sandbox:a.state", true)
	}
	n.collector.Arrive(filepath.Join(n.root, "do3"), "a_sandbox:a.state", false) // only a creation tells of a new sandbox
	n.expectLives(l, "a vanished", "a vanished")
}

// TestRootReturns: a root that is moved away and back, with a sandbox that runs, has one sandbox.
func TestRootReturns(t *testing.T) {
	n, _ := globbed(t)
	root, _ := n.addRoot("do1", "a", 51)
	n.look()
	n.must(os.Rename(root, filepath.Join(n.root, "away")))
	n.look()
	n.must(os.Rename(filepath.Join(n.root, "away"), root))
	n.look()
	if got := n.collect().Sandboxes; len(got) != 1 || !got[0].Running() {
		t.Errorf("there are %d sandboxes, want one that runs", len(got))
	}
}

// TestRootByTwoNames: a root that a glob matches by two names is served by the one that was seen first.
func TestRootByTwoNames(t *testing.T) {
	n, l := globbed(t)
	root, s := n.addRoot("do2", "a", 51)
	n.arrive(s)
	n.must(os.Symlink(root, filepath.Join(n.root, "do1")))
	n.collector.Arrive(filepath.Join(n.root, "do1"), filepath.Base(s.StatePath("a")), true)
	for range 2 {
		n.look()
		if got := n.collector.Roots(); !slices.Equal(got, []string{root}) {
			t.Errorf("served are %q, want %q", got, root)
		}
	}
	n.must(os.RemoveAll(root))
	n.look()
	n.expectLives(l, "a vanished")
}

// TestInodeIsUsedAgain: a new root with the inode of one that is gone is another one.
func TestInodeIsUsedAgain(t *testing.T) {
	n, _ := globbed(t)
	root, s := n.addRoot("do1", "a", 51)
	n.arrive(s)
	other, s2 := n.addRoot("do2", "b", 51)
	id, _ := roots.Identify(other)
	n.must(os.RemoveAll(root))
	n.collector.table.inventories[0].place.ID = id
	n.arrive(s2)
	if got := n.collector.Roots(); !slices.Equal(got, []string{root, other}) {
		t.Errorf("served are %q, want %q and %q", got, root, other)
	}
}

// TestRegisterInNewRoot: a client can register a sandbox in a root that has just appeared.
func TestRegisterInNewRoot(t *testing.T) {
	n, _ := globbed(t)
	root, _ := n.addRoot("do1", "a", 51)
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if _, err := n.collector.Register(ctx, root, "b"); !errors.Is(err, snapshot.ErrNoSandbox) {
		t.Errorf("a client that asks for a sandbox that is not there gets %v", err)
	}
	if r, err := n.collector.Register(t.Context(), root, "a"); err != nil || r.Sandbox.Root != root {
		t.Errorf("registered is %+v, %v", r.Sandbox, err)
	}
	for _, root := range []string{"do2", "other"} {
		if _, err := n.collector.Register(t.Context(), filepath.Join(n.root, root), "a"); !errors.Is(err, snapshot.ErrNoRoot) {
			t.Errorf("a client that asks for root %s gets %v", root, err)
		}
	}
}

// TestRootsLeftOut: more than roots.MaxRoots roots with state files are a number on the page, one line of the
// log, and make the server not ready. Empty ones take no place.
func TestRootsLeftOut(t *testing.T) {
	n, _ := globbed(t)
	const family = "sandmeter_runtime_roots_left_out"
	check := func(what string, served, leftOut int) {
		t.Helper()
		n.expect(n.page(), family, fmt.Sprint(family, " ", leftOut))
		if got := len(n.collector.Roots()); got != served {
			t.Errorf("%s: %d roots are served, want %d", what, got, served)
		}
		want := "<nil>"
		if leftOut > 0 {
			want = fmt.Sprintf("runtime roots not served: %d (the limit is %d per server); run another server for them", leftOut, roots.MaxRoots)
		}
		if got := fmt.Sprint(n.collector.Ready()); got != want {
			t.Errorf("%s: not ready because of %s, want %s", what, got, want)
		}
	}
	for i := range roots.MaxRoots + 1 {
		n.must(os.Mkdir(filepath.Join(n.root, fmt.Sprintf("do-empty%03d", i)), 0o755))
	}
	check("empty ones", roots.MaxEmpty, 0)
	var last string
	for i := range roots.MaxRoots + 2 {
		last = filepath.Join(n.root, fmt.Sprintf("do%03d", i))
		n.must(os.Mkdir(last, 0o755))
		n.must(os.WriteFile(filepath.Join(last, "a_sandbox:a.state"), []byte("{"), 0o600))
	}
	check("two too many", roots.MaxRoots, 2)
	if log := n.log.String(); strings.Count(log, "Too many runtime roots") != 1 || !strings.Contains(log, "limit=500 left_out=2") {
		t.Errorf("the log is\n%s", log)
	}
	n.collector.Arrive(last, "a_sandbox:a.state", true)
	check("one that arrives has no place", roots.MaxRoots, 2)
	n.must(os.RemoveAll(filepath.Join(n.root, "do000")))
	n.must(os.RemoveAll(filepath.Join(n.root, "do001")))
	check("enough places", roots.MaxRoots, 0)
}
