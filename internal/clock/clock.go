// Package clock has the clock that collect and share use for all times, so that tests can replace it.
package clock

import "time"

// A Clock tells the time and makes timers. It is safe for concurrent use.
type Clock interface {
	Now() time.Time
	// Timer returns a channel that receives a value after d, and a function that stops the timer, which
	// may be called at any time. A duration that is not positive has passed already.
	Timer(d time.Duration) (passed <-chan time.Time, stop func())
	// AfterFunc calls f on a goroutine of its own after d, unless stop is called before.
	AfterFunc(d time.Duration, f func()) (stop func())
}

// Real is the clock of the machine.
var Real Clock = real{}

type real struct{}

func (real) Now() time.Time { return time.Now() }

func (real) Timer(d time.Duration) (passed <-chan time.Time, stop func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

func (real) AfterFunc(d time.Duration, f func()) (stop func()) {
	t := time.AfterFunc(d, f)
	return func() { t.Stop() }
}
