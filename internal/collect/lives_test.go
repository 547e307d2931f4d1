package collect

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sandmeter/sandmeter/internal/claims"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/testkit"
	"github.com/sandmeter/sandmeter/internal/totals"
)

// A keeper keeps what Options.Ended receives.
type keeper struct {
	mu    sync.Mutex
	ended []snapshot.Sandbox
}

// keep is an Options.Ended.
func (k *keeper) keep(s snapshot.Sandbox) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended = append(k.ended, s)
}

// all returns what was received so far.
func (k *keeper) all() []snapshot.Sandbox {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.ended)
}

// await waits until so many lives were received: a collection that begins right after the end of a
// sandbox need not wait for its last values.
func (k *keeper) await(t *testing.T, lives int) {
	t.Helper()
	testkit.Until(t, fmt.Sprint(lives, " lives are recorded"), func() bool { return len(k.all()) >= lives })
}

// expect checks the lives that were received, in any order, as "ID outcome metrics-origin".
func (k *keeper) expect(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for _, s := range k.all() {
		got = append(got, fmt.Sprint(s.Labels.Sandbox, " ", s.End.Outcome, " ", s.End.Metrics))
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("recorded are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// newRecordedNode returns a node whose lives are kept, and whose totals are over fs_opens.
func newRecordedNode(t *testing.T, change func(*Options)) (*node, *keeper) {
	t.Helper()
	k := new(keeper)
	n := newNode(t, func(o *Options) {
		o.Ended = k.keep
		o.Totals = totals.New(totals.Options{Metrics: []string{"fs_opens"}, NoUsage: true})
		if change != nil {
			change(o)
		}
	})
	return n, k
}

// TestEndedStaysEnded: whatever becomes of the state file of a sandbox that has ended, its life is
// recorded once, and another one begins with another process only.
func TestEndedStaysEnded(t *testing.T) {
	n, k := newRecordedNode(t, nil)
	s := n.start(simulate.Spec{ID: "a", OwnProcess: true})
	n.collect()
	s.Stop()
	for range 2 {
		n.collect()
		n.update(s, func(spec *simulate.Spec) { spec.PID = -1 })
	}
	k.expect(t, "a killed last_sample")
	n.expect(n.page(), "runsc_meta_sandbox_running", `runsc_meta_sandbox_running{sandbox="a"} 0`)
	n.update(s, func(spec *simulate.Spec) { spec.PID = os.Getpid() })
	n.expect(n.page(), "runsc_meta_sandbox_running", `runsc_meta_sandbox_running{sandbox="a"} 1`)
	n.must(s.Remove())
	n.collect()
	k.expect(t, "a killed last_sample", "a vanished none")
}

// TestEndedJustBefore: a sandbox whose process and state file go between the moment at which a listing
// takes in ends and the one at which it reads the root has ended, and not vanished.
func TestEndedJustBefore(t *testing.T) {
	n, k := newRecordedNode(t, nil)
	s := n.start(simulate.Spec{ID: "a", OwnProcess: true})
	n.collect()
	resume := n.holdWatcher()
	n.must(s.Remove())
	err := n.collector.table.read()
	resume()
	if err != nil {
		t.Fatal(err)
	}
	n.collect()
	k.expect(t, "a killed last_sample")
}

// holdWatcher keeps the watcher's goroutine from taking in ends until resume is called.
func (n *node) holdWatcher() (resume func()) {
	n.Helper()
	other := testkit.Start(n, testkit.TempDir(n), simulate.Spec{ID: "other", OwnProcess: true})
	held, resumed := make(chan struct{}), make(chan struct{})
	n.collector.watcher.Watch(other.PID()).AtEnd(func() {
		close(held)
		<-resumed
	})
	other.Stop()
	<-held
	return func() { close(resumed) }
}

// TestDeletedContainers: a sandbox that has ended has the containers that were deleted before, as
// containerd deletes those of a pod first, and the last ones only if there are many.
func TestDeletedContainers(t *testing.T) {
	n, k := newRecordedNode(t, nil)
	s := n.start(simulate.Spec{ID: "pod", OwnProcess: true})
	have := func(ids ...string) {
		n.update(s, func(spec *simulate.Spec) {
			spec.More = nil
			for _, id := range ids {
				spec.More = append(spec.More, simulate.Container{ID: id, Annotations: map[string]string{
					"io.kubernetes.cri.container-name": "name-" + id, "io.kubernetes.cri.image-name": "image-" + id,
				}})
			}
		})
		n.collect()
	}
	var want []string
	for i := range claims.MaxGone {
		id := fmt.Sprint("c", i)
		have(id)
		if i > 1 { // two more come after these
			want = append(want, fmt.Sprintf("%s name-%s image-%s", id, id, id))
		}
	}
	have("a", "b")
	have("b")
	have("a")
	have()
	want = append(want, "b name-b image-b", "a name-a image-a")
	s.Stop()
	n.collect()
	ended := k.all()
	if len(ended) != 1 || len(ended[0].Containers) != 1 || ended[0].Containers[0].ID != "pod" {
		t.Fatalf("recorded are %+v, want the pod with its root container", ended)
	}
	var got []string
	for _, c := range ended[0].Deleted {
		got = append(got, fmt.Sprint(c.ID, " ", c.Name, " ", c.Image))
	}
	if !slices.Equal(got, want) {
		t.Errorf("deleted are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
