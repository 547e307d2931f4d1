package collect

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/verify"
)

// splitting is a split with readings of one second each, of a sandbox with two cores.
type splitting struct {
	*testing.T
	split
	now  reading
	last map[string]int64
}

var splitStart = time.Unix(1_800_000_000, 0)

func newSplitting(t *testing.T) *splitting {
	return &splitting{T: t, now: reading{at: splitStart, since: splitStart.Add(-time.Hour), cores: 2}, last: make(map[string]int64)}
}

// read adds a reading a second later, with figures in milliseconds: the host's, and claims such as
// "a=10 b=20" ("?" is for unknown containers). It checks the totals in milliseconds, such as
// "a=10 b=20 none=3", and what always holds.
func (s *splitting) read(host int64, claims, want string) {
	s.Helper()
	s.now.at = s.now.at.Add(time.Second)
	s.now.host, s.now.containers, s.now.unknown = host*1e6, nil, 0
	for _, word := range strings.Fields(claims) {
		id, text, _ := strings.Cut(word, "=")
		var ms int64
		if _, err := fmt.Sscan(text, &ms); err != nil {
			s.Fatal(err)
		}
		if cpu := time.Duration(ms) * time.Millisecond; id == "?" {
			s.now.unknown = cpu
		} else {
			s.now.containers = append(s.now.containers, claim{id: id, name: id, cpu: cpu})
		}
	}
	s.add(s.now)
	if got := s.check(); got != want {
		s.Errorf("host %d, claims %q: got %q, want %q", host, claims, got, want)
	}
}

// check returns the totals, and checks that none has fallen.
func (s *splitting) check() string {
	s.Helper()
	var words []string
	see := func(id string, total int64) {
		if total < s.last[id] {
			s.Errorf("%s fell from %d to %d", id, s.last[id], total)
		}
		s.last[id] = total
		words = append(words, fmt.Sprintf("%s=%d", id, total/1e6))
	}
	for _, p := range s.shares {
		see(p.id, p.total)
	}
	see("none", s.none)
	return strings.Join(words, " ")
}

func (s *splitting) sum() int64 {
	sum := s.none
	for _, p := range s.shares {
		sum += p.total
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
		s.now.restored = true
		s.read(100, "a=8000 b=10", "a=0 b=0 none=100")
		s.read(300, "a=8100 b=110", "a=100 b=100 none=100")
	})
	test("restored later: a new baseline", func(s *splitting) {
		s.read(100, "a=100", "a=100 none=0")
		s.now.restored = true
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
		s.now.at = s.now.at.Add(-time.Hour)
		s.read(200, "a=150 b=50", "a=150 b=50 none=0")
	})
}

// TestSplitGone: containers that are gone keep their series, and beyond a limit the oldest become
// no container. The sum stays the host's.
func TestSplitGone(t *testing.T) {
	s := newSplitting(t)
	const containers = 2 * maxGone
	for i := range containers {
		s.now.at = s.now.at.Add(time.Second)
		s.now.host, s.now.containers = int64(i+1)*1000, []claim{{id: fmt.Sprint(i), cpu: time.Second}}
		s.add(s.now)
	}
	if len(s.shares) != maxGone+1 || s.shares[0].id != fmt.Sprint(containers-maxGone-1) || s.sum() != s.host {
		t.Errorf("%d shares from %s on, in total %d of %d", len(s.shares), s.shares[0].id, s.sum(), s.host)
	}
}

// TestSplitFinish: what the host has measured last is the only container's, even if it never
// reported, or no container's. To finish twice adds only what came in between.
func TestSplitFinish(t *testing.T) {
	finish := func(s *splitting, host int64, only, want string) {
		t.Helper()
		s.finish(host*1e6, claim{id: only, name: only})
		if got := s.check(); got != want {
			t.Errorf("finished at %d for %q: got %q, want %q", host, only, got, want)
		}
	}
	none, only, silent := newSplitting(t), newSplitting(t), newSplitting(t)
	for _, s := range []*splitting{none, only} {
		s.read(100, "a=30 b=70", "a=30 b=70 none=0")
	}
	finish(none, 150, "", "a=30 b=70 none=50")
	finish(none, 160, "", "a=30 b=70 none=60")
	finish(none, 90, "", "a=30 b=70 none=60")
	finish(only, 150, "b", "a=30 b=120 none=0")
	finish(only, 150, "b", "a=30 b=120 none=0")
	finish(silent, 150, "a", "a=150 none=0")
}

// TestSplitHolds: whatever is claimed, no part falls, and the sum is the host's, to the nanosecond.
func TestSplitHolds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	any := func() time.Duration {
		switch r.IntN(4) {
		case 0:
			return verify.NotReported
		case 1:
			return math.MaxInt64
		}
		return time.Duration(r.Int64N(1 << r.IntN(62)))
	}
	for range 200 {
		s := newSplitting(t)
		for range 30 {
			s.now.at = s.now.at.Add(time.Duration(r.Int64N(1 << 40)))
			s.now.host += r.Int64N(1 << r.IntN(55))
			s.now.unknown = max(0, any())
			s.now.restored = s.now.restored || r.IntN(20) == 0
			s.now.containers = []claim{{id: "a", cpu: any()}, {id: "b", cpu: any()}, {id: "c", cpu: any()}}
			s.add(s.now)
			s.check()
			if s.sum() != s.now.host {
				t.Fatalf("the sum is %d of %d", s.sum(), s.now.host)
			}
		}
	}
}

// TestSplitGrowth: the growth of both figures is compared where both are about the same interval.
func TestSplitGrowth(t *testing.T) {
	s := newSplitting(t)
	check := func(host int64, cpu time.Duration, restored bool, want growth, wantOK bool) {
		t.Helper()
		s.now.at = s.now.at.Add(time.Second)
		s.now.host, s.now.restored, s.now.containers = host, restored, []claim{{id: "a", cpu: cpu}}
		if got, ok := s.add(s.now); ok != wantOK || ok && got != want {
			t.Errorf("got %v, %t; want %v, %t", got, ok, want, wantOK)
		}
	}
	check(100, 900, false, growth{}, false)
	check(150, 1900, false, growth{50, 1000}, true)
	check(160, 9e18, false, growth{10, 9e18 - 1900}, true) // not limited
	check(170, 5, false, growth{10, 0}, true)
	check(180, verify.NotReported, false, growth{10, 0}, true)
	check(70, 100, false, growth{}, false)
	check(80, 5000, true, growth{}, false)
	check(90, 5001, true, growth{10, 1}, true)
}
