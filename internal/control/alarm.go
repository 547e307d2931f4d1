package control

import "time"

// An Alarm is a function to run at a time, on the loop's goroutine: no method of a Query and no
// other alarm runs meanwhile. It runs at most 5 ms late or, when the goroutine is busy, after the
// reply that is being read; not at all if the Run that it belongs to is over before. The alarms of a run
// are run in the order of their times, those of the same time in the order given.
//
// Do must not block, and must not call Loop.Run or Loop.Close. A panic in it is dropped: nothing of
// the run depends on an alarm, and other runs must not end with it.
type Alarm struct {
	At time.Time
	Do func()
}

// runAlarms runs the alarms that are due. It is called between two replies, so that one is late by
// no more than it takes to read one.
func (l *Loop) runAlarms() {
	for _, r := range l.runs {
		for len(r.alarms) > 0 && !time.Now().Before(r.alarms[0].At) {
			do := r.alarms[0].Do
			r.alarms = r.alarms[1:]
			callAlarm(do)
		}
	}
}

func callAlarm(do func()) {
	defer dropPanic()
	do()
}
