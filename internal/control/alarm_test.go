package control

import (
	"slices"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

// TestAlarmWhileStalled: an alarm runs while no reply comes, not before its time.
func TestAlarmWhileStalled(t *testing.T) {
	w := newWorld(t)
	behavior, _, release := stalling(1)
	q := newProbe(w.start(simulate.Spec{ID: "a", Behavior: behavior}).SocketPath())
	at := time.Now().Add(30 * time.Millisecond)
	w.runUntil(time.Now().Add(ample), []*probe{q}, Alarm{at, func() {
		if time.Now().Before(at) {
			t.Error("the alarm runs before its time")
		}
		close(release)
	}})
	if !q.honest() {
		t.Errorf("got %q, %v", q.reply, q.failure)
	}
}

// TestAlarmsInOrder: alarms run in the order of their times, those of all runs together.
func TestAlarmsInOrder(t *testing.T) {
	w := newWorld(t)
	l := w.loopByHand()
	past := time.Now().Add(-time.Hour)
	var order []string
	alarm := func(after time.Duration, name string) Alarm {
		return Alarm{past.Add(after), func() { order = append(order, name) }}
	}
	stalls := w.start(simulate.Spec{ID: "a", Behavior: simulate.Stall})
	add := func(alarms ...Alarm) {
		r := w.addRun(l, newProbe(stalls.SocketPath()))
		r.alarms = alarms
		l.schedule(r)
	}
	add(alarm(3, "3"), alarm(1, "1"), alarm(5, "5"), alarm(2*time.Hour, "later"))
	add(alarm(4, "4"), alarm(2, "2"), alarm(5, "5 of the second"))
	l.runAlarms()
	if want := []string{"1", "2", "3", "4", "5", "5 of the second"}; !slices.Equal(order, want) {
		t.Errorf("got %q, want %q", order, want)
	}
	if len(l.alarms) != 1 {
		t.Errorf("%d alarms are left", len(l.alarms))
	}
}

// TestAlarmBetweenReplies: of replies that arrived together, an alarm that comes due while the
// first is read does not wait for the second.
func TestAlarmBetweenReplies(t *testing.T) {
	w := newWorld(t)
	l := w.loopByHand()
	a, b := w.start(simulate.Spec{ID: "a"}), w.start(simulate.Spec{ID: "b"})
	var order []string
	all := []*probe{newProbe(a.SocketPath()), newProbe(b.SocketPath())}
	r := w.addRun(l, all...)
	for _, q := range all {
		q.onRead = func() {
			order = append(order, "reply")
			if len(order) == 1 { // the time of the alarm comes
				l.alarms = append(l.alarms, scheduled{Alarm{time.Now(), func() { order = append(order, "alarm") }}, r})
			}
		}
	}
	l.begin()
	for until := time.Now().Add(ample); r.left > 0 && time.Now().Before(until); {
		l.wait()
	}
	if want := []string{"reply", "alarm", "reply"}; !slices.Equal(order, want) {
		t.Errorf("got %q, want %q", order, want)
	}
}

// TestAlarmOnTheLoop: an alarm and the methods of queries share state without a lock.
func TestAlarmOnTheLoop(t *testing.T) {
	w := newWorld(t)
	f := w.fleet(100, nil)
	all := probes(f.Sandboxes)
	calls := 0 // the race detector objects if two goroutines use it
	for _, q := range all {
		q.onRead = func() { calls++ }
	}
	var alarms []Alarm
	for i := range 50 {
		alarms = append(alarms, Alarm{time.Now().Add(time.Duration(i) * 100 * time.Microsecond), func() { calls++ }})
	}
	w.runUntil(time.Now().Add(ample), all, alarms...)
	if calls < len(all) || calls > len(all)+len(alarms) {
		t.Errorf("%d calls", calls)
	}
}

// TestNoAlarmAfterTheRun: the alarms of a run go with it, and those of other runs stay.
func TestNoAlarmAfterTheRun(t *testing.T) {
	w := newWorld(t)
	l := w.loopByHand()
	later := []Alarm{{time.Now().Add(time.Hour), func() {}}}
	add := func(path string) *run {
		r := w.addRun(l, newProbe(path))
		r.alarms = later
		l.schedule(r)
		return r
	}
	add(w.path("missing"))
	other := add(w.start(simulate.Spec{ID: "a", Behavior: simulate.Stall}).SocketPath())
	l.begin()
	if len(l.alarms) != 1 || l.alarms[0].run != other {
		t.Errorf("%d alarms are left", len(l.alarms))
	}
}

// TestAlarmsOfEndedRun: nothing is left of alarms whose time has not come.
func TestAlarmsOfEndedRun(t *testing.T) {
	w := newWorld(t)
	q := newProbe(w.start(simulate.Spec{ID: "a"}).SocketPath())
	never := Alarm{time.Now().Add(time.Hour), func() { t.Error("the alarm runs") }}
	w.runUntil(time.Now().Add(ample), []*probe{q}, never, never) // checks that none is left
	w.loop.Run(nil, time.Now(), Alarm{time.Time{}, never.Do})
	if !q.honest() {
		t.Errorf("got %q, %v", q.reply, q.failure)
	}
}

// TestAlarmPanics: the run and its other alarms go on.
func TestAlarmPanics(t *testing.T) {
	w := newWorld(t)
	behavior, _, release := stalling(1)
	q := newProbe(w.start(simulate.Spec{ID: "a", Behavior: behavior}).SocketPath())
	now := time.Now()
	w.runUntil(now.Add(ample), []*probe{q}, Alarm{now, func() { panic("a defect") }}, Alarm{now.Add(1), func() { close(release) }})
	if !q.honest() {
		t.Errorf("got %q, %v", q.reply, q.failure)
	}
}
