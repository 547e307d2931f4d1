package doctor

import (
	"fmt"
	"time"
)

// The causes of the clock.
var (
	notSynchronized = Cause{"clock_not_synchronized", Warning}
	clockSetBack    = Cause{"clock_set_back", Warning}
)

// clockMargin is how far in the future the creation of a sandbox may be.
const clockMargin = time.Minute

var clockCheck = Check{"clock", []Cause{notSynchronized, clockSetBack}, judgeClock}

// judgeClock judges the wall clock.
func judgeClock(o *Observed) (string, []Finding) {
	var findings []Finding
	var future []*Sandbox
	for i := range o.Sandboxes {
		if s := &o.Sandboxes[i]; s.CreatedAt.Sub(o.Time) > clockMargin {
			future = append(future, s)
		}
	}
	if n := len(future); n > 0 {
		findings = append(findings, clockSetBack.finding(count(n, "sandbox")+": created in the future",
			fmt.Sprintf("the wall clock was set back after they were created, or is wrong now: it is %s", o.Time.UTC().Format(time.RFC3339)),
			"set the clock with a time service such as chrony or systemd-timesyncd").of(future...))
	}
	if o.Clock.Known && !o.Clock.Synchronized {
		findings = append(findings, notSynchronized.finding("the kernel says that the clock is not synchronized",
			"no time service disciplines it, so times on pages and in records may be wrong",
			"start a time service such as chrony or systemd-timesyncd; on a virtual machine that the hypervisor keeps in time, ignore this"))
	}
	switch {
	case len(findings) > 0:
		return "the clock may be wrong", findings
	case !o.Clock.Known:
		return "whether the clock is synchronized is not known", nil
	}
	return "the clock is synchronized", nil
}
