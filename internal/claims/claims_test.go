package claims

import (
	"fmt"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// tallying is a Tally with readings every ten seconds, as long as a window, of a sandbox with two
// cores and the container "a".
type tallying struct {
	*testing.T
	Tally
	now Reading
}

func newTallying(t *testing.T) *tallying {
	zero := known(0)
	return &tallying{T: t, now: Reading{Time: splitStart, Began: splitStart, Cores: 2, CPU: zero, Sent: zero, Waiting: zero,
		Containers: []Container{using("a", 0)}}}
}

// add adds a reading after a change, which is about the last reading's figures.
func (s *tallying) add(change func(r *Reading)) {
	s.now.Time = s.now.Time.Add(windowTime)
	change(&s.now)
	s.Add(s.now)
}

func same(*Reading) {}

// expect adds as many readings as make a sandbox suspicious, and checks whether it is.
func (s *tallying) expect(what string, of Subject, suspicious bool, change func(r *Reading)) {
	s.Helper()
	for range oddWindows {
		s.add(change)
	}
	if got := s.Verdict(of); !got.Known || got.Suspicious != suspicious {
		s.Errorf("%s: got %+v, want suspicious %t", what, got, suspicious)
	}
}

func grow(f *fact.Figure, by int64) { f.Value += by }

// TestTallyWaited: throttling and pressure widen the range of CPU time: a sandbox that used a second
// in ten claims 18 s.
func TestTallyWaited(t *testing.T) {
	check := func(name string, suspicious bool, change func(r *Reading)) {
		t.Helper()
		s := newTallying(t)
		s.add(same)
		s.expect(name, CPU, suspicious, func(r *Reading) {
			grow(&r.CPU, 1e9)
			grow(&r.Containers[0].CPU, 18e9)
			change(r)
		})
	}
	check("nothing waited", true, same)
	check("the limit took 15 s", false, func(r *Reading) { grow(&r.Throttled, 15e9) })
	check("the limit took 14 s", true, func(r *Reading) { grow(&r.Throttled, 14e9) })
	check("7.5 s on both cores", false, func(r *Reading) { grow(&r.Waiting, 75e8) })
	check("7.5 s on one core", true, func(r *Reading) { r.Cores = 1; grow(&r.Waiting, 75e8) })
	check("no longer than the interval", true, func(r *Reading) { r.Cores = 1; grow(&r.Waiting, 100e9) })
	check("the pressure is not known, so all may have waited", false, func(r *Reading) { r.Waiting = fact.Figure{} })
	check("throttling and pressure start again at 0", true, func(r *Reading) { grow(&r.Throttled, -1e9); grow(&r.Waiting, -1e9) })
}

// TestTallyMissed: readings without CPU time are not split and not compared. The next one with CPU
// time divides the growth that was missed.
func TestTallyMissed(t *testing.T) {
	s := newTallying(t)
	s.add(func(r *Reading) { r.CPU = fact.Figure{}; r.Containers[0].CPU = known(1e9) })
	s.add(func(r *Reading) { r.CPU = known(5e9) })
	s.add(func(r *Reading) { r.CPU = fact.Figure{}; grow(&r.Containers[0].CPU, 1e9) })
	s.add(func(r *Reading) { r.CPU = known(8e9) })
	shares, none := s.Shares()
	if got, want := fmt.Sprint(shares[0].ID, shares[0].CPU, none), fmt.Sprint("a", int64(8e9), 0); len(shares) != 1 || got != want {
		t.Errorf("got %s of %d shares, want %s", got, len(shares), want)
	}
}

func TestTallyNetwork(t *testing.T) {
	s := newTallying(t)
	send := func(host, claimed int64) func(r *Reading) {
		return func(r *Reading) { grow(&r.Sent, host); r.ClaimedSent += claimed }
	}
	s.add(send(50e6, 0)) // the first reading is a baseline
	if v := s.Verdict(Network); v.Known {
		t.Errorf("compared a baseline: %+v", v)
	}
	s.expect("the same traffic", Network, false, send(20e6, 20e6))
	s.expect("less traffic", Network, true, send(20e6, 10e6))
	s.expect("the same traffic again", Network, false, send(20e6, 20e6))
	s.expect("the claim falls", Network, true, send(20e6, -1e6))
	s.add(send(-20e6, 20e6)) // other interfaces
	s.add(func(r *Reading) { r.Sent = fact.Figure{} })
	s.add(func(r *Reading) { r.Sent = known(90e6) })
	if v := s.Verdict(Network); v.Ratio != -1 {
		t.Errorf("compared figures that began anew: %+v", v)
	}
}

func TestTallyMemory(t *testing.T) {
	s := newTallying(t)
	check := func(host fact.Figure, containers []Container, want Verdict) {
		t.Helper()
		s.add(same)
		if s.AddMemory(host, containers); s.Verdict(Memory) != want {
			t.Errorf("got %+v, want %+v", s.Verdict(Memory), want)
		}
	}
	host := known(300e6)
	check(host, occupying(100e6, 50e6), Verdict{}) // no time has passed
	check(host, occupying(100e6, 50e6), Verdict{Known: true, Ratio: -0.5})
	check(host, occupying(300e6, 300e6), Verdict{Known: true, Ratio: 1})
	check(host, occupying(300e6, -1), Verdict{Known: true, Ratio: 1})
	check(fact.Figure{}, occupying(0, 0), Verdict{Known: true, Ratio: 1})
}

// TestTallyUnknown: unknown containers in three readings in a row are suspicious.
func TestTallyUnknown(t *testing.T) {
	s := newTallying(t)
	check := func(unknown int, suspicious bool) {
		t.Helper()
		s.add(func(r *Reading) { r.Unknown = unknown })
		if n, got := s.Unknown(); n != unknown || got != suspicious {
			t.Errorf("%d unknown: got %d, suspicious %t", unknown, n, got)
		}
	}
	check(1, false)
	check(2, false)
	check(0, false)
	check(1, false)
	check(1, false)
	check(3, true)
	check(1, true)
	check(0, false)
}

// TestTallyClock: a clock that goes back makes no window longer or shorter.
func TestTallyClock(t *testing.T) {
	s := newTallying(t)
	s.add(same)
	s.add(func(r *Reading) { r.Time = splitStart.Add(-time.Hour); grow(&r.CPU, 5e9) })
	if v := s.Verdict(CPU); v.Known {
		t.Errorf("got %+v", v)
	}
	s.add(func(r *Reading) { grow(&r.CPU, 5e9) })
	if v := s.Verdict(CPU); v != (Verdict{Known: true, Ratio: -1}) {
		t.Errorf("got %+v", v)
	}
}
