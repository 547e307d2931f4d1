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

// TestAlarmsInOrder: alarms run in the order of their times, those of the same time in the order
// given.
func TestAlarmsInOrder(t *testing.T) {
	w := newWorld(t)
	behavior, _, release := stalling(1)
	q := newProbe(w.start(simulate.Spec{ID: "a", Behavior: behavior}).SocketPath())
	past := time.Now().Add(-time.Hour)
	var order []int
	var alarms []Alarm
	for i, after := range []time.Duration{3, 1, 3, 2} {
		alarms = append(alarms, Alarm{past.Add(after), func() { order = append(order, i) }})
	}
	alarms = append(alarms, Alarm{time.Now(), func() { close(release) }})
	w.runUntil(time.Now().Add(ample), []*probe{q}, alarms...)
	if want := []int{1, 3, 0, 2}; !slices.Equal(order, want) {
		t.Errorf("got %v, want %v", order, want)
	}
}

// TestAlarmBetweenReplies: of replies that arrived together, an alarm that comes due while the
// first is read does not wait for the second.
func TestAlarmBetweenReplies(t *testing.T) {
	w := newWorld(t)
	l := w.loopByHand(2)
	a, b := w.start(simulate.Spec{ID: "a"}), w.start(simulate.Spec{ID: "b"})
	var order []string
	all := []*probe{newProbe(a.SocketPath()), newProbe(b.SocketPath())}
	r := w.addRun(l, all...)
	for _, q := range all {
		q.onRead = func() {
			order = append(order, "reply")
			if len(order) == 1 { // the time of the alarm comes
				r.alarms = append(r.alarms, Alarm{time.Now(), func() { order = append(order, "alarm") }})
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

// TestNoAlarmAfterTheRun: an alarm whose time comes after the end of its run does not run, not even
// in a later run.
func TestNoAlarmAfterTheRun(t *testing.T) {
	w := newWorld(t)
	behavior, _, release := stalling(1)
	quick, slow := w.start(simulate.Spec{ID: "quick"}), w.start(simulate.Spec{ID: "slow", Behavior: behavior})
	at := time.Now().Add(50 * time.Millisecond)
	over := false
	w.runUntil(time.Now().Add(ample), []*probe{newProbe(quick.SocketPath())}, Alarm{at, func() {
		if over {
			t.Error("the alarm runs after its run")
		}
	}})
	over = true
	w.loop.Run(nil, time.Now(), Alarm{time.Time{}, func() { t.Error("the alarm of a run without queries runs") }})
	w.runUntil(time.Now().Add(ample), []*probe{newProbe(slow.SocketPath())}, Alarm{at.Add(time.Millisecond), func() { close(release) }})
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
