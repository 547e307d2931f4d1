package collect

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandmeter/sandmeter/internal/clock"
	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// TestIntervals: the intervals double up to a limit, until there is nothing to repeat or the collector is closed.
func TestIntervals(t *testing.T) {
	const ms = time.Millisecond
	all := []time.Duration{25 * ms, 75 * ms, 175 * ms, 375 * ms, 775 * ms, 1575 * ms, 3175 * ms, 6375 * ms, 12775 * ms, 72775 * ms, 132775 * ms}
	for _, times := range []int{2, len(all)} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			var at []time.Duration
			start := time.Now()
			(&env{clock: clock.Real, alive: ctx}).again(func() bool {
				at = append(at, time.Since(start))
				return times > 2 || len(at) < times
			})
			if !slices.Equal(at, all[:times]) {
				t.Errorf("measured after %v, want %v", at, all[:times])
			}
		})
	}
}

// TestManyRepeats: others wait for one measurement at most, although many are due.
func TestManyRepeats(t *testing.T) {
	e := &env{clock: clock.Real, alive: t.Context()}
	var calls atomic.Int64
	for range 100 {
		e.background.Go(func() {
			e.again(func() bool {
				time.Sleep(5 * time.Millisecond)
				calls.Add(1)
				return false
			})
		})
	}
	testkit.Until(t, "the first are measured", func() bool { return calls.Load() >= 5 })
	e.mu.Lock()
	if n := calls.Load(); n > 50 {
		t.Errorf("another had to wait for %d of 100 measurements", n)
	}
	e.mu.Unlock()
	e.background.Wait()
}

// TestRepeated: a sandbox that shares its cgroup at first, as with `runsc create`, is measured when it
// does not any more: with the next event of its state file, or without one. So its last figures are
// known without any collection.
func TestRepeated(t *testing.T) {
	check := func(what string, event bool) {
		t.Helper()
		var ended atomic.Pointer[snapshot.Sandbox]
		h := newMeasuredNode(t, func(o *Options) {
			o.Ended = func(s snapshot.Sandbox) { ended.Store(&s) }
			if event {
				o.Clock = patient{o.Clock}
			}
		})
		h.look()
		s := h.start(simulate.Spec{ID: "b", OwnProcess: true})
		h.addProcess(t, s.PID(), "b")
		h.write(t, "sys/fs/cgroup/b/cpu.stat", "usage_usec 1000\n")
		h.write(t, "sys/fs/cgroup/b/cgroup.procs", "1\n")
		h.arrive(s)
		measured := func(want bool) bool {
			h.collector.mu.Lock()
			defer h.collector.mu.Unlock()
			l := h.life("b")
			return l.isMeasured() && l.usage.isShared() == !want
		}
		if !measured(false) {
			t.Errorf("%s: it does not wait for another measurement", what)
		}
		h.write(t, "sys/fs/cgroup/b/cgroup.procs", "")
		if event {
			h.arrive(s)
		} else {
			testkit.Until(t, "it is measured", func() bool { return measured(true) })
		}
		h.write(t, "sys/fs/cgroup/b/cpu.stat", "usage_usec 2000\n")
		s.Remove()
		testkit.Until(t, "its life is closed", func() bool {
			h.finish(false)
			return ended.Load() != nil
		})
		last := ended.Load()
		if used, _ := last.Usage.Get(fact.CPU); used != int64(2*time.Millisecond) || last.End.Usage != snapshot.FromHost {
			t.Errorf("%s: its last usage is %+v, from %s", what, last.Usage, last.End.Usage)
		}
	}
	check("an event", true)
	check("a timer", false)
}
