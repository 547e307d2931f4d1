package claims

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// splitting is a split with readings of one second each, of a sandbox with two cores.
type splitting struct {
	*testing.T
	split
	now  Reading
	seen map[string]int64 // totals by container
}

var splitStart = time.Unix(1_800_000_000, 0)

func known(value int64) fact.Figure { return fact.Of(value, true) }

// using returns a container that is claimed to have used CPU time in nanoseconds.
func using(id string, cpu int64) Container {
	return Container{ID: id, Name: "name of " + id, CPU: known(cpu)}
}

func newSplitting(t *testing.T) *splitting {
	return &splitting{T: t, now: Reading{Time: splitStart, Began: splitStart.Add(-time.Hour), Cores: 2}, seen: make(map[string]int64)}
}

// read adds a reading a second later, with figures in milliseconds: the host's, and claims such as
// "a=10 b=20" ("?" is for unknown containers). It checks the totals in milliseconds, such as
// "a=10 b=20 none=3", and what always holds.
func (s *splitting) read(host int64, claims, want string) {
	s.Helper()
	s.now.Time = s.now.Time.Add(time.Second)
	s.now.CPU, s.now.Containers, s.now.UnknownCPU = known(host*1e6), nil, 0
	for _, word := range strings.Fields(claims) {
		id, text, _ := strings.Cut(word, "=")
		var ms int64
		if _, err := fmt.Sscan(text, &ms); err != nil {
			s.Fatal(err)
		}
		if id == "?" {
			s.now.UnknownCPU = ms * 1e6
		} else {
			s.now.Containers = append(s.now.Containers, using(id, ms*1e6))
		}
	}
	s.add(&s.now)
	if got := s.check(); got != want {
		s.Errorf("host %d, claims %q: got %q, want %q", host, claims, got, want)
	}
}

// check returns the totals, and checks that none has fallen.
func (s *splitting) check() string {
	s.Helper()
	var words []string
	see := func(id string, total int64) {
		if total < s.seen[id] {
			s.Errorf("%s fell from %d to %d", id, s.seen[id], total)
		}
		s.seen[id] = total
		words = append(words, fmt.Sprintf("%s=%d", id, total/1e6))
	}
	for _, p := range s.shares {
		see(p.ID, p.CPU)
	}
	see("none", s.none)
	return strings.Join(words, " ")
}

func (s *splitting) sum() int64 {
	sum := s.none
	for _, p := range s.shares {
		sum += p.CPU
	}
	return sum
}

func TestSplit(t *testing.T) {
	test := func(name string, f func(s *splitting)) {
		t.Run(name, func(t *testing.T) { f(newSplitting(t)) })
	}
	test("in proportion to the growth", func(s *splitting) {
		s.read(300, "a=200 b=100", "a=200 b=100 none=0")
		s.read(700, "a=500 b=200", "a=500 b=200 none=0")
	})
	test("the sum is the host's, whatever the scale of the claims", func(s *splitting) {
		s.read(100, "a=300 b=100", "a=75 b=25 none=0")
		s.read(200, "a=310 b=130", "a=100 b=100 none=0")
	})
	test("nothing grew", func(s *splitting) {
		s.read(100, "a=0", "a=0 none=100")
		s.read(150, "a=0", "a=0 none=150")
		s.read(170, "a=10", "a=20 none=150")
		s.read(180, "", "a=30 none=150") // see below
		s.read(190, "", "a=30 none=160")
	})
	test("a fall counts as 0", func(s *splitting) {
		s.read(1000, "a=840 b=160", "a=840 b=160 none=0")
		s.read(1100, "a=20 b=260", "a=840 b=260 none=0")
		s.read(1200, "a=120 b=260", "a=940 b=260 none=0")
	})
	test("a container that vanishes keeps its last share for the interval", func(s *splitting) {
		s.read(400, "a=300 b=100", "a=300 b=100 none=0")
		s.read(800, "a=600 b=200", "a=600 b=200 none=0")
		s.read(1200, "b=300", "a=900 b=300 none=0")
		s.read(1300, "b=400", "a=900 b=400 none=0")
	})
	test("an idle container that vanishes takes nothing from the others", func(s *splitting) {
		s.read(400, "a=300 b=100", "a=300 b=100 none=0")
		s.read(500, "a=300 b=200", "a=300 b=200 none=0")
		s.read(900, "b=600", "a=300 b=600 none=0")
	})
	test("a new container counts from 0", func(s *splitting) {
		s.read(100, "a=100", "a=100 none=0")
		s.read(400, "a=200 b=200", "a=200 b=200 none=0")
	})
	test("a container that comes back counts from its last figure", func(s *splitting) {
		s.read(100, "a=50 b=50", "a=50 b=50 none=0")
		s.read(200, "a=150 b=50", "a=150 b=50 none=0")
		s.read(300, "a=250", "a=250 b=50 none=0")
		s.read(400, "a=300 b=100", "a=300 b=100 none=0")
	})
	test("unknown containers are no container", func(s *splitting) {
		s.read(100, "a=50 ?=50", "a=50 none=50")
		s.read(200, "a=150 ?=50", "a=150 none=50")
		s.read(300, "a=150 ?=60", "a=150 none=150")
		s.read(400, "a=250 ?=0", "a=250 none=150")
	})
	test("restored before the first reading: nothing is credited", func(s *splitting) {
		s.now.Restored = true
		s.read(100, "a=8000 b=10", "a=0 b=0 none=100")
		s.read(300, "a=8100 b=110", "a=100 b=100 none=100")
	})
	test("restored later: a new baseline", func(s *splitting) {
		s.read(100, "a=100", "a=100 none=0")
		s.now.Restored = true
		s.read(200, "a=8000 b=100", "a=100 b=0 none=100")
		s.read(300, "b=100", "a=100 b=0 none=200") // the growth by the restore is no share to keep
		s.read(400, "b=200", "a=100 b=100 none=200")
	})
	test("a new cgroup: nothing is added", func(s *splitting) {
		s.read(500, "a=500", "a=500 none=0")
		s.read(50, "a=550", "a=500 none=0")
		s.read(150, "a=650", "a=600 none=0")
	})
	test("no claim exceeds the time of all cores", func(s *splitting) {
		s.read(0, "a=0 b=0", "a=0 b=0 none=0")
		s.read(1000, "a=1000000 b=2020", "a=500 b=500 none=0") // two cores for a second, and a tick on each
	})
	test("the clock goes back", func(s *splitting) {
		s.read(100, "a=100", "a=100 none=0")
		s.now.Time = s.now.Time.Add(-time.Hour)
		s.read(200, "a=150 b=50", "a=150 b=50 none=0")
	})
}

// TestSplitGone: containers that are gone keep their series, and beyond a limit the oldest become
// no container. The sum stays the host's.
func TestSplitGone(t *testing.T) {
	s := newSplitting(t)
	const containers = 2 * MaxGone
	for i := range containers {
		s.now.Time = s.now.Time.Add(time.Second)
		s.now.CPU, s.now.Containers = known(int64(i+1)*1000), []Container{using(fmt.Sprint(i), 1e9)}
		s.add(&s.now)
	}
	if len(s.shares) != MaxGone+1 || s.shares[0].ID != fmt.Sprint(containers-MaxGone-1) || s.sum() != s.last.CPU.Value {
		t.Errorf("%d shares from %s on, in total %d of %d", len(s.shares), s.shares[0].ID, s.sum(), s.last.CPU.Value)
	}
}

// TestFinish: what the host has measured last is the only container's, even if it never reported, or no
// container's. To finish again adds only what came in between.
func TestFinish(t *testing.T) {
	check := func(name string, read bool, only string, wantShares bool, want string, cpu ...fact.Figure) {
		t.Helper()
		s := newSplitting(t)
		if read {
			s.read(100, "a=30 b=70", "a=30 b=70 none=0")
		}
		tally, shares := Tally{split: s.split}, false
		for _, now := range cpu {
			shares = tally.Finish(now, Container{ID: only})
		}
		if s.split = tally.split; s.check() != want || shares != wantShares {
			t.Errorf("%s: got %q and %t, want %q and %t", name, s.check(), shares, want, wantShares)
		}
	}
	at := func(ms int64) fact.Figure { return known(ms * 1e6) }
	check("several containers", true, "", true, "a=30 b=70 none=50", at(150))
	check("several containers, again", true, "", true, "a=30 b=70 none=60", at(150), at(160), at(90))
	check("the only container", true, "b", true, "a=30 b=120 none=0", at(150), at(150))
	check("the only container, never heard of", false, "a", true, "a=150 none=0", at(150))
	check("several containers, never heard of", false, "", false, "none=0", at(150))
	check("not measured", true, "a", false, "a=30 b=70 none=0", fact.Figure{})
}

// TestSplitHolds: whatever is claimed, no part falls, and the sum is the host's, to the nanosecond.
func TestSplitHolds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	any := func() fact.Figure {
		switch r.IntN(4) {
		case 0:
			return fact.Figure{}
		case 1:
			return known(math.MaxInt64)
		}
		return known(r.Int64N(1 << r.IntN(62)))
	}
	for range 200 {
		s := newSplitting(t)
		for range 30 {
			s.now.Time = s.now.Time.Add(time.Duration(r.Int64N(1 << 40)))
			s.now.CPU = known(s.now.CPU.Value + r.Int64N(1<<r.IntN(55)))
			s.now.UnknownCPU = any().Value
			s.now.Restored = s.now.Restored || r.IntN(20) == 0
			s.now.Containers = []Container{{ID: "a", CPU: any()}, {ID: "b", CPU: any()}, {ID: "c", CPU: any()}}
			s.add(&s.now)
			s.check()
			if s.sum() != s.now.CPU.Value {
				t.Fatalf("the sum is %d of %d", s.sum(), s.now.CPU.Value)
			}
		}
	}
}

// TestSplitGrowth: the growth of both figures is compared where both are about the same interval.
func TestSplitGrowth(t *testing.T) {
	s := newSplitting(t)
	check := func(cpu int64, claim fact.Figure, restored bool, wantHost, wantClaimed float64, wantOK bool) {
		t.Helper()
		s.now.Time = s.now.Time.Add(time.Second)
		s.now.CPU, s.now.Restored, s.now.Containers = known(cpu), restored, []Container{{ID: "a", CPU: claim}}
		host, claimed, ok := s.add(&s.now)
		if ok != wantOK || ok && (host != wantHost || claimed != wantClaimed) {
			t.Errorf("got %v, %v, %t; want %v, %v, %t", host, claimed, ok, wantHost, wantClaimed, wantOK)
		}
	}
	check(100, known(900), false, 0, 0, false)
	check(150, known(1900), false, 50, 1000, true)
	check(160, known(9e18), false, 10, 9e18-1900, true) // not limited
	check(170, known(5), false, 10, 0, true)
	check(180, fact.Figure{}, false, 10, 0, true)
	check(70, known(100), false, 0, 0, false)
	check(80, known(5000), true, 0, 0, false)
	check(90, known(5001), true, 10, 1, true)
}
