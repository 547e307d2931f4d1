package control

import (
	"slices"
	"time"
)

// An Alarm is a function to run at a time, on the loop's goroutine: no method of a Query and no
// other alarm runs meanwhile. It runs at most 5 ms late or, when the goroutine is busy, after the
// reply that is being read; not at all if the Run that it belongs to is over before. Alarms run in
// the order of their times, those of the same time in the order given.
//
// Do must not block, and must not call Loop.Run or Loop.Close. A panic in it is dropped: nothing of
// the run depends on an alarm, and other runs must not end with it.
type Alarm struct {
	At time.Time
	Do func()
}

// scheduled is an alarm and the run that it belongs to.
type scheduled struct {
	Alarm
	run *run
}

// schedule adds the alarms of a run to those of the others, in the order of their times.
func (l *Loop) schedule(r *run) {
	for _, a := range r.alarms {
		l.alarms = append(l.alarms, scheduled{a, r})
	}
	slices.SortStableFunc(l.alarms, func(a, b scheduled) int { return a.At.Compare(b.At) })
}

// unschedule removes the alarms of a run.
func (l *Loop) unschedule(r *run) {
	l.alarms = slices.DeleteFunc(l.alarms, func(a scheduled) bool { return a.run == r })
}

// runAlarms runs the alarms that are due. It is called between two replies, so that one is late by
// no more than it takes to read one.
func (l *Loop) runAlarms() {
	for len(l.alarms) > 0 && !time.Now().Before(l.alarms[0].At) {
		do := l.alarms[0].Do
		l.alarms = slices.Delete(l.alarms, 0, 1)
		callAlarm(do)
	}
}

func callAlarm(do func()) {
	defer dropPanic()
	do()
}
