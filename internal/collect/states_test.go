package collect

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
)

// TestMistake: a move that is not in transitions is logged, and made nevertheless. All other tests fail if
// there is one.
func TestMistake(t *testing.T) {
	n := newNode(t, nil)
	n.mistakes = true
	n.start(simulate.Spec{ID: "a"})
	n.look()
	l := n.life("a")
	l.move(leaving)
	if l.state != leaving || n.countMistakes() != 1 {
		t.Errorf("the state is %s, and the log is\n%s", l.state, &n.log)
	}
	l.state = running
}

// countMistakes returns how many transitions in the log are not allowed.
func (n *node) countMistakes() int { return strings.Count(n.log.String(), "Mistake in the server") }

// orphan starts a sandbox with a process of its own, which is reserved for it as the process of a real
// sandbox is.
func (n *node) orphan(spec simulate.Spec) *simulate.Sandbox {
	n.Helper()
	spec.OwnProcess = true
	s := n.start(spec)
	n.collect()
	c := n.collector
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.table.sorted {
		c.table.holders[l.process.PID()] = l
	}
	return s
}

// phases returns the phases of the sandboxes in a new snapshot.
func (n *node) phases() (phases []snapshot.Phase) {
	snap := n.collect()
	for i := range snap.Sandboxes {
		phases = append(phases, snap.Sandboxes[i].Phase)
	}
	return phases
}

func (n *node) expectPhases(want ...snapshot.Phase) {
	n.Helper()
	if got := n.phases(); !slices.Equal(got, want) {
		n.Errorf("the phases are %q, want %q", got, want)
	}
}

// TestOrphan: a sandbox whose state file is gone stays the same life, with its metrics, until its process
// ends.
func TestOrphan(t *testing.T) {
	n, k := newRecordedNode(t, nil)
	s := n.orphan(simulate.Spec{ID: "a", Points: []simulate.Point{{Metric: "fs_opens", Int: 7}}})
	hide, show := n.hideable("a")
	hide()
	n.expectPhases(snapshot.Orphaned)
	n.expect(n.page(), opens, `runsc_fs_opens{sandbox="a"} 7`)
	show()
	n.expectPhases(snapshot.Running)
	hide()
	n.expectPhases(snapshot.Orphaned)
	s.Stop()
	n.expectPhases(snapshot.Ended)
	n.finish(true)
	if ended := k.all(); len(ended) != 1 || ended[0].End.Outcome == snapshot.Vanished {
		t.Errorf("the records are %+v", ended)
	}
}

// hideable returns functions that remove the state file of a sandbox and restore it.
func (n *node) hideable(id string) (hide, show func()) {
	path := filepath.Join(n.root, state.FileName(id))
	rename := func(from, to string) func() {
		return func() {
			n.Helper()
			n.must(os.Rename(from, to))
		}
	}
	return rename(path, path+".hidden"), rename(path+".hidden", path)
}

// TestHiddenOrphans: with HideOrphans, a sandbox leaves snapshots with its state file, and returns with it.
func TestHiddenOrphans(t *testing.T) {
	n := newNode(t, func(o *Options) { o.HideOrphans = true })
	n.orphan(simulate.Spec{ID: "a"})
	hide, show := n.hideable("a")
	hide()
	n.expectPhases()
	show()
	n.expectPhases(snapshot.Running)
}

// TestOrphanIsReplaced: another sandbox with the ID and the creation time of an orphan would have its
// labels, so the orphan leaves.
func TestOrphanIsReplaced(t *testing.T) {
	n, k := newRecordedNode(t, nil)
	n.orphan(simulate.Spec{ID: "a"})
	hide, show := n.hideable("a")
	hide()
	n.expectPhases(snapshot.Orphaned)
	n.collector.mu.Lock()
	n.collector.table.inventories[0].past[0].facts.PID++ // as if the state file had another process
	n.collector.mu.Unlock()
	show()
	n.expectPhases(snapshot.Running)
	n.finish(true)
	if ended := k.all(); len(ended) != 1 || ended[0].End.Outcome != snapshot.Vanished {
		t.Errorf("the records are %+v", ended)
	}
}

// TestUnregisteredOrphan: a sandbox without a state file can be unregistered.
func TestUnregisteredOrphan(t *testing.T) {
	n, k := newRecordedNode(t, nil)
	n.orphan(simulate.Spec{ID: "a"})
	hide, _ := n.hideable("a")
	hide()
	n.expectPhases(snapshot.Orphaned)
	if _, err := n.collector.Unregister(t.Context(), n.root, "a"); err != nil {
		t.Fatal(err)
	}
	if ended := k.all(); len(ended) != 1 || ended[0].End.Outcome != snapshot.Unregistered {
		t.Errorf("the records are %+v", ended)
	}
}
