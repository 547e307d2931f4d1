package collect

import (
	"math"
	"os"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/proof"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// TestStarts: the counters of a sandbox were 0 when it was created.
func TestStarts(t *testing.T) {
	created := time.Date(2026, 11, 22, 9, 12, 52, 743744391, time.UTC)
	n := newNode(t, nil)
	n.start(simulate.Spec{ID: "a", Root: simulate.Container{CreatedAt: created}})
	snap := n.collect()
	if got := snap.Sandboxes[0].Reported.Start; got != created.UnixNano() {
		t.Errorf("those of the sandbox are of %d, want %d", got, created.UnixNano())
	}
}

// TestOlderThanTheServer: a sandbox is older than the server if its process is, although its state file has
// appeared since.
func TestOlderThanTheServer(t *testing.T) {
	n := newNode(t, nil)
	n.start(simulate.Spec{ID: "a"})
	n.look()
	n.collector.mu.Lock()
	defer n.collector.mu.Unlock()
	facts := *n.life("a").facts
	for pid, want := range map[int]origin{os.Getpid(): fresh, os.Getppid(): older} {
		found := proof.Sighting{Presence: proof.Visible, Listener: control.Listener{PID: pid, PIDFD: -1}, PIDs: []int{pid}}
		l := n.collector.table.inventories[0].newLife(&facts, true, sightings{&facts: found})
		if l.release(); l.origin != want {
			t.Errorf("process %d: the origin is %d, want %d", pid, l.origin, want)
		}
	}
}

func TestNanoseconds(t *testing.T) {
	for _, test := range []struct {
		time time.Time
		want int64
	}{
		{time.Time{}, 0},
		{time.Unix(-1, 999999999), 0},
		{time.Unix(0, 1), 1},
		{testStart, 1795338760112779000},
		{time.Unix(math.MaxInt64/1_000_000_000-1, 999999999), 9223372035999999999},
		{time.Unix(math.MaxInt64/1_000_000_000, 0), 0},
		{time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), 0},
	} {
		if got := nanoseconds(test.time); got != test.want {
			t.Errorf("%v is %d, want %d", test.time, got, test.want)
		}
	}
}
