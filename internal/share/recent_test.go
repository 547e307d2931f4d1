package share

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

func ids(texts ...string) snapshot.Selector {
	return snapshot.Selector{IDs: snapshot.NewValues(texts)}
}

// expectPlan checks to which sandboxes a collection is limited.
func (w *world) expectPlan(collection int, want ...snapshot.Selector) {
	w.Helper()
	if got := w.plans[collection-1].Sandboxes; !slices.Equal(got, want) {
		w.Errorf("collection %d is of %+v, want %+v", collection, got, want)
	}
}

// TestSelectionsAreUnited checks that the readers that wait for a collection get the sandboxes that
// they select together, and that one reader without a selection makes it whole.
func TestSelectionsAreUnited(t *testing.T) {
	run(t, func(w *world) {
		start := time.Now()
		alone := w.readOf(background, ids("a"), long)
		one, other := w.readOf(background, ids("b"), long), w.readOf(background, ids("c", "d"), long)
		ctx, cancel := context.WithCancel(background)
		leaves := w.read(ctx, long)
		cancel()
		w.expectError(leaves, context.Canceled, start, 0)
		w.expect(alone, 1, start, time.Second)
		whole, part := w.read(background, long), w.readOf(background, ids("e"), long)
		w.expect(one, 2, start, 2*time.Second)
		w.expect(other, 2, start, 2*time.Second)
		w.expect(whole, 3, start, 3*time.Second)
		w.expect(part, 3, start, 3*time.Second)
		w.expectCollections(3)
		w.expectPlan(1, ids("a"))
		w.expectPlan(2, ids("b", "c", "d"))
		w.expectPlan(3)
	})
}

// TestMaxAgeOfSelections checks that a recent snapshot is served again only if it has all sandboxes
// that the request selects, and that a limited one does not displace one of all sandboxes.
func TestMaxAgeOfSelections(t *testing.T) {
	run(t, func(w *world) {
		w.takes = 0
		get := func(of snapshot.Selector, want int) {
			t.Helper()
			time.Sleep(100 * time.Millisecond)
			snap, err := w.Snapshot(background, of, time.Now().Add(long), 10*time.Second)
			if err != nil || len(snap.Sandboxes) != want {
				t.Fatalf("%+v: got %v %v, want collection %d", of, snap, err, want)
			}
		}
		get(ids("a"), 1)
		get(ids("b"), 2)
		get(ids("a"), 1)
		get(snapshot.Selector{}, 3)
		get(ids("z"), 3)
		<-w.readOf(background, ids("a"), long) // as without --max-age
		get(ids("a"), 4)
		get(ids("b"), 3)
	})
}

// TestRecent checks that there are at most maxRecent snapshots, and always that of all sandboxes.
func TestRecent(t *testing.T) {
	var r recent
	whole := new(snapshot.Snapshot)
	r.add(whole)
	for i := range 2 * maxRecent {
		r.add(&snapshot.Snapshot{Selected: snapshot.Union{ids(fmt.Sprint(i))}})
	}
	if len(r) != maxRecent || r.covering(snapshot.Selector{}) != whole || r.covering(ids("0")) != whole {
		t.Errorf("%d snapshots are kept", len(r))
	}
	if last := fmt.Sprint(2*maxRecent - 1); r.covering(ids(last)) != r[0] {
		t.Errorf("the last snapshot is not kept")
	}
	r.add(new(snapshot.Snapshot))
	if len(r) != 1 {
		t.Errorf("%d snapshots are kept beside one of all sandboxes", len(r)-1)
	}
}
