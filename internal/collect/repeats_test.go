package collect

import (
	"slices"
	"sync"
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

// TestRepeats: the intervals double up to a limit, each life has its own, and one that is not shared
// any more is not measured again.
func TestRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var running sync.WaitGroup
		r, done, start := newRepeats(clock.Real, &mu), make(chan struct{}), time.Now()
		at := make(map[*life][]time.Duration)
		brief, late, lasting := new(life), new(life), new(life)
		running.Go(func() {
			r.run(done, func(l *life) (again bool) {
				at[l] = append(at[l], time.Since(start))
				return l == lasting || len(at[l]) < 2
			})
		})
		add := func(lives ...*life) {
			mu.Lock()
			defer mu.Unlock()
			for _, l := range lives {
				r.add(l)
			}
		}
		add(lasting, brief)
		time.Sleep(30 * time.Millisecond)
		add(late, lasting) // the second one is known
		time.Sleep(5 * time.Minute)
		close(done)
		running.Wait()

		const ms = time.Millisecond
		wants := map[*life][]time.Duration{
			brief: {25 * ms, 75 * ms},
			late:  {55 * ms, 105 * ms},
			lasting: {25 * ms, 75 * ms, 175 * ms, 375 * ms, 775 * ms, 1575 * ms, 3175 * ms, 6375 * ms, 12775 * ms,
				72775 * ms, 132775 * ms, 192775 * ms, 252775 * ms},
		}
		for l, want := range wants {
			if !slices.Equal(at[l], want) {
				t.Errorf("measured after %v, want %v", at[l], want)
			}
		}
		if len(r.due) != 1 {
			t.Errorf("%d lives are kept, want 1", len(r.due))
		}
	})
}

// noTimers is a clock whose timers never end.
type noTimers struct{ clock.Clock }

func (noTimers) Timer(time.Duration) (<-chan time.Time, func()) { return nil, func() {} }

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
				o.Clock = noTimers{o.Clock}
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
			l := h.collector.table.inventories[0].byID["b"]
			_, shared := h.collector.repeats.due[l]
			return l.isMeasured() && l.usage.isShared() == !want && shared == !want
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
			h.collector.finishEnded(false)
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
