package collect

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

// TestSocketOutsideOfTheRoot: a socket in /run, /var/run or /tmp proves nothing unless the command line of
// the process has the runtime root, because a copied state file names it too.
func TestSocketOutsideOfTheRoot(t *testing.T) {
	n := newNode(t, nil)
	id := filepath.Base(n.root)
	n.start(simulate.Spec{ID: id, ControlSocket: "/tmp/runsc-" + id + ".sock"})
	page := n.page()
	n.expect(page, runningSeries, `runsc_meta_sandbox_running{sandbox="`+id+`"} 1`)
	n.expectReason(page, "wrong_peer")
}

// TestPresumed: a sandbox that has stopped accepts no connection when its backlog is full. Its process is
// presumed until a connection shows which process listens.
func TestPresumed(t *testing.T) {
	n := newNode(t, nil)
	sandbox := n.start(simulate.Spec{ID: "a", OwnProcess: true})
	n.look()
	of := n.collector.table.sorted[0]
	locked := func(f func()) {
		n.collector.mu.Lock()
		defer n.collector.mu.Unlock()
		f()
	}
	locked(func() { of.presumed = true })
	n.page()
	expect := func(what string, state lifeState, pid int) {
		t.Helper()
		locked(func() {
			if of.presumed || of.state != state || of.process.PID() != pid {
				t.Errorf("%s: the state is %s, presumed %t, the process %d", what, of.state, of.presumed, of.process.PID())
			}
		})
	}
	expect("after a reply", running, sandbox.PID())
	locked(func() { of.presumed, of.process = true, n.collector.watcher.Watch(os.Getppid()) })
	n.expect(n.page(), runningSeries, `runsc_meta_sandbox_running{sandbox="a"} 1`)
	expect("another process listens", unproven, 0)
	n.expect(n.page(), opens, `runsc_fs_opens{sandbox="a"} 51`)
	expect("at the next collection", running, sandbox.PID())
}

// TestClaim: one process is the process of one sandbox.
func TestClaim(t *testing.T) {
	n := newNode(t, nil)
	for _, id := range []string{"a", "b"} {
		n.start(simulate.Spec{ID: id, OwnProcess: true})
	}
	n.look()
	n.collector.mu.Lock()
	defer n.collector.mu.Unlock()
	table := n.collector.table
	a, b := table.sorted[0], table.sorted[1]
	claims := func(name string, l *life, levels int, want *life) {
		t.Helper()
		if got := table.holders.claim(l, l.process, levels); got != want {
			t.Errorf("%s: claimed by %v, want %v", name, got, want)
		}
	}
	claims("its own", a, 2, nil)
	claims("its own again", a, 2, nil)
	own := b.process
	b.process = a.process
	claims("another's", b, 2, a)
	nextLife := &life{home: a.home, facts: a.facts, process: a.process, state: running}
	claims("a process of an earlier life", nextLife, 2, nil)
	claims("of the next life", b, 2, nextLife)
	table.holders.disclaim(nextLife)
	claims("one that nobody claims any more", b, 2, nil)
	table.holders.disclaim(b)
	claims("one without a PID namespace of its own", a, 1, nil)
	claims("one that may serve several", b, 1, nil)
	b.process = own
}

// TestUnprovenUsage: nothing is measured as long as it is not known which process is the sandbox's.
func TestUnprovenUsage(t *testing.T) {
	h := newMeasuredNode(t, nil)
	spec := measured("a")
	spec.PID = os.Getppid()
	s := h.start(spec)
	expectUsage(t, h.page(), "a", map[string]string{`sandbox_usage_absent{reason="identity_unproven"}`: "1", `sandbox_cpu_seconds_total{}`: ""})
	if pids := h.pids(); !slices.Equal(pids, []int{0}) {
		t.Errorf("the PIDs are %v", pids)
	}
	h.update(s, func(spec *simulate.Spec) { spec.PID = os.Getpid() })
	expectUsage(t, h.page(), "a", map[string]string{`sandbox_cpu_seconds_total{}`: "1.5"})
	if pids := h.pids(); !slices.Equal(pids, []int{s.PID()}) {
		t.Errorf("the PIDs are %v", pids)
	}
}

// pids returns the PIDs of sandboxes in a new snapshot.
func (n *node) pids() (pids []int) {
	snap := n.collect()
	for i := range snap.Sandboxes {
		pids = append(pids, snap.Sandboxes[i].PID)
	}
	return pids
}
