package host

import (
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/procevents"
)

// The pidfd tells that a process has ended, and the last event about its PID tells how. Events about
// processes that live on have status 0, like the end of many processes.
const (
	// eventWait is how long an event may come after the end. The kernel sends it within microseconds.
	eventWait = time.Second
	// zeroWait is how long another event may follow one with status 0.
	zeroWait = 20 * time.Millisecond
	// zeroAge is how long before the end an event with status 0 may be, which is how long the other
	// threads of a process may take to end. An older one was about a process that lived on.
	zeroAge = 10 * time.Second
)

// The sources of exit statuses.
const (
	SourcePIDFD      = "pidfd"       // PIDFD_GET_INFO, since Linux 6.15
	SourceExitEvents = "exit_events" // the process events connector
	SourceZombie     = "zombie"      // /proc, until the parent reaps the process
)

// Sources returns from where the Watcher learns how processes end, the most reliable one first. With
// SourceZombie alone, most statuses of sandboxes stay unknown, because their parents reap at once.
func (w *Watcher) Sources() (sources []string) {
	if w.tellsOfReaped {
		sources = append(sources, SourcePIDFD)
	}
	if w.exits != nil {
		sources = append(sources, SourceExitEvents)
	}
	if mayReadStatus(os.Getpid()) && os.Geteuid() == 0 {
		sources = append(sources, SourceZombie)
	}
	return sources
}

// MissingExitEvents returns how many ends had no event in time, if the kernel sends events.
func (w *Watcher) MissingExitEvents() fact.Figure { return fact.Of(w.missing.Load(), w.exits != nil) }

// readExits takes in the events that have arrived. The caller holds mu.
func (w *Watcher) readExits() {
	w.exits.Read(w.takeExit)
}

// takeExit takes in an event. The caller holds mu.
func (w *Watcher) takeExit(e procevents.Exit) {
	for _, p := range slices.Clone(w.byPID[e.PID]) { // learn may remove it
		p.event = e
		if p.end.Load() != nil {
			w.recorded = true
			p.learn(zombie{}, false)
		}
	}
}

// toldStatus returns the status of the last event if it can only be about the end. The caller holds mu.
func (p *Process) toldStatus() (status int, known bool) {
	return p.event.Status, p.event.Status != 0
}

// awaitEvent gives the kernel time for an event, and returns false if none can come. The caller holds
// mu and has recorded the end.
func (p *Process) awaitEvent() bool {
	if p.watcher.exits == nil || p.watcher.closed || p.past {
		return false
	}
	p.closeFD() // a zombie would be reported again and again
	wait := eventWait
	if p.toldZero() {
		wait = zeroWait
	}
	p.watcher.after(wait, p.conclude)
	return true
}

// toldZero reports whether the last event has status 0 and can be about the end. The caller holds mu.
func (p *Process) toldZero() bool {
	return p.event.At != 0 && p.event.Status == 0 && p.endedAt-p.event.At <= zeroAge
}

// conclude settles the process if no event has done that.
func (p *Process) conclude() {
	w := p.watcher
	w.mu.Lock()
	defer w.unlockAndTell()
	if p.settled.Load() {
		return
	}
	w.recorded = true
	if p.toldZero() {
		p.settle(&Exit{})
		return
	}
	w.missing.Add(1)
	p.settle(nil)
}

// monotonic returns the time by the clock of events.
func monotonic() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return time.Duration(t.Nano())
}

// kernelRelease returns the release of the kernel.
func kernelRelease() []byte {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return nil
	}
	return name.Release[:]
}

// tellsOfReaped reports whether a release of the kernel tells how processes ended that have been reaped.
func tellsOfReaped(release []byte) bool {
	major, rest := leadingNumber(release)
	minor, _ := leadingNumber(rest)
	return major > 6 || major == 6 && minor >= 15
}

// leadingNumber returns the number at the start of a text, and what follows the next byte.
func leadingNumber(text []byte) (n int, rest []byte) {
	for len(text) > 0 && '0' <= text[0] && text[0] <= '9' {
		n, text = 10*n+int(text[0]-'0'), text[1:]
	}
	return n, text[min(1, len(text)):]
}
