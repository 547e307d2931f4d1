package collect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sandmeter/sandmeter/internal/roots"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// A lives has the lives of sandboxes that are closed.
type lives struct {
	mu  sync.Mutex
	all []string // root, ID and outcome
}

func (l *lives) add(s snapshot.Sandbox) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, fmt.Sprintf("%s/%s %s", filepath.Base(s.Root), s.Labels.Sandbox, s.End.Outcome))
}

// globbed returns a node whose roots match do*, and its closed lives. The roots have been listed.
func globbed(t *testing.T, change func(*Options)) (*node, *lives) {
	t.Helper()
	l := new(lives)
	n := newNode(t, func(o *Options) {
		o.Roots = []string{filepath.Join(o.Roots[0], "do*")}
		o.Registrations = &library{err: errUnknown}
		o.Ended = l.add
		if change != nil {
			change(o)
		}
	})
	if err := n.collector.Look(); err != nil {
		t.Fatal(err)
	}
	return n, l
}

// expectLives checks which lives have been closed, in order.
func (n *node) expectLives(l *lives, want ...string) {
	n.Helper()
	testkit.Until(n, fmt.Sprintf("%d lives are closed", len(want)), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.all) >= len(want)
	})
	n.collector.finishEnded(false) // and wait for the one under way
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.all, want) {
		n.Errorf("closed are %q, want %q", l.all, want)
	}
	n.expect(n.page(), total, fmt.Sprintf("runsc_meta_num_sandboxes_total %d", len(want)))
}

// remove removes a root with all that is in it.
func (n *node) remove(root string) {
	n.Helper()
	if err := os.RemoveAll(root); err != nil {
		n.Fatal(err)
	}
}

// TestRootAppears: a sandbox whose root appears with it, and disappears with it, is a life, without a
// listing of the roots in between. A late event of it does not count again.
func TestRootAppears(t *testing.T) {
	n, l := globbed(t, nil)
	var want []string
	for i := range 5 {
		root, s := n.addRoot(fmt.Sprintf("do%d", i), "same", 51)
		n.arrive(s)
		if got := n.collector.Roots(); len(got) == 0 || got[len(got)-1] != root {
			t.Errorf("served are %q, want also %q", got, root)
		}
		n.remove(root)
		if i%2 == 0 {
			if err := n.collector.Look(); err != nil {
				t.Fatal(err)
			}
		}
		n.arrive(s)
		want = append(want, fmt.Sprintf("do%d/same vanished", i))
	}
	if err := n.collector.Look(); err != nil {
		t.Fatal(err)
	}
	n.expectLives(l, want...)
	if got := n.collector.Roots(); len(got) != 0 {
		t.Errorf("served are %q", got)
	}
}

// TestRootAppearsForAWhile: such a sandbox is watched and sampled at once, and its end is noticed.
func TestRootAppearsForAWhile(t *testing.T) {
	n, l := globbed(t, nil)
	root := filepath.Join(n.root, "do1")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	s := testkit.Start(n, root, simulate.Spec{ID: "a", OwnProcess: true})
	n.arrive(s)
	n.untilSampled("a")
	s.Remove()
	n.remove(root)
	if err := n.collector.Look(); err != nil {
		t.Fatal(err)
	}
	n.expectLives(l, "do1/a killed")
	n.expect(n.page(), runningSeries, fmt.Sprintf(`runsc_meta_sandbox_running{runtime_root="%s",sandbox="a"} 0`, root))
}

// TestRootIsGone: if the root has disappeared before its sandbox could be read, that is a life, once.
func TestRootIsGone(t *testing.T) {
	n, l := globbed(t, nil)
	for _, root := range []string{"do1", "do2", "do1", "other", "do1/below"} {
		n.collector.Arrive(filepath.Join(n.root, root), "a_sandbox:a.state", true)
	}
	n.collector.Arrive(filepath.Join(n.root, "do3"), "a_sandbox:a.state", false) // only a creation tells of a new sandbox
	n.expectLives(l, "do1/a vanished", "do2/a vanished")
}

// TestRootReturns: a root that is moved away and back, with a sandbox that runs, has one sandbox.
func TestRootReturns(t *testing.T) {
	n, _ := globbed(t, func(o *Options) { o.Ended = nil })
	root, _ := n.addRoot("do1", "a", 51)
	look := func() {
		t.Helper()
		if err := n.collector.Look(); err != nil {
			t.Fatal(err)
		}
	}
	look()
	if err := os.Rename(root, filepath.Join(n.root, "away")); err != nil {
		t.Fatal(err)
	}
	look()
	if err := os.Rename(filepath.Join(n.root, "away"), root); err != nil {
		t.Fatal(err)
	}
	look()
	if got := n.collect().Sandboxes; len(got) != 1 || !got[0].Running() {
		t.Errorf("there are %d sandboxes, want one that runs", len(got))
	}
}

// TestRootByTwoNames: a root that a glob matches by two names is served by the one that was seen first.
func TestRootByTwoNames(t *testing.T) {
	n, l := globbed(t, nil)
	root, s := n.addRoot("do2", "a", 51)
	n.arrive(s)
	if err := os.Symlink(root, filepath.Join(n.root, "do1")); err != nil {
		t.Fatal(err)
	}
	n.collector.Arrive(filepath.Join(n.root, "do1"), filepath.Base(s.StatePath("a")), true)
	for range 2 {
		if err := n.collector.Look(); err != nil {
			t.Fatal(err)
		}
		if got := n.collector.Roots(); !slices.Equal(got, []string{root}) {
			t.Errorf("served are %q, want %q", got, root)
		}
	}
	n.remove(root)
	if err := n.collector.Look(); err != nil {
		t.Fatal(err)
	}
	n.expectLives(l, "do2/a vanished")
}

// TestInodeIsUsedAgain: a new root with the inode of one that is gone is another one.
func TestInodeIsUsedAgain(t *testing.T) {
	n, _ := globbed(t, nil)
	root, s := n.addRoot("do1", "a", 51)
	n.arrive(s)
	other, s2 := n.addRoot("do2", "b", 51)
	id, _ := roots.Identify(other)
	n.remove(root)
	n.collector.table.inventories[0].place.ID = id
	n.arrive(s2)
	if got := n.collector.Roots(); !slices.Equal(got, []string{root, other}) {
		t.Errorf("served are %q, want %q and %q", got, root, other)
	}
}

// TestRegisterInNewRoot: a client can register a sandbox in a root that has just appeared.
func TestRegisterInNewRoot(t *testing.T) {
	n, _ := globbed(t, nil)
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
	n, _ := globbed(t, func(o *Options) { o.Ended = nil })
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
		if err := os.Mkdir(filepath.Join(n.root, fmt.Sprintf("do-empty%03d", i)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	check("empty ones", roots.MaxEmpty, 0)
	var last string
	for i := range roots.MaxRoots + 2 {
		last = filepath.Join(n.root, fmt.Sprintf("do%03d", i))
		if err := os.Mkdir(last, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(last, "a_sandbox:a.state"), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check("two too many", roots.MaxRoots, 2)
	if log := n.log.String(); strings.Count(log, "Too many runtime roots") != 1 || !strings.Contains(log, "limit=500 left_out=2") {
		t.Errorf("the log is\n%s", log)
	}
	n.collector.Arrive(last, "a_sandbox:a.state", true)
	check("one that arrives has no place", roots.MaxRoots, 2)
	n.remove(filepath.Join(n.root, "do000"))
	n.remove(filepath.Join(n.root, "do001"))
	check("enough places", roots.MaxRoots, 0)
}

// TestReady: a server is ready after it has listed its roots.
func TestReady(t *testing.T) {
	n := newNode(t, nil)
	if err := n.collector.Ready(); err == nil || err.Error() != "the runtime roots have not been listed yet; see the server's log" {
		t.Errorf("before a listing: %v", err)
	}
	n.collect()
	if err := n.collector.Ready(); err != nil {
		t.Errorf("after a listing: %v", err)
	}
}
