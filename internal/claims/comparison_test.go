package claims

import (
	"testing"
	"time"
)

// TestComparison: windows last ten seconds and have enough of one figure. Three odd ones in a row are
// suspicious.
func TestComparison(t *testing.T) {
	var c comparison
	step := func(elapsed time.Duration, host, claimed, low, high float64, wantKnown bool, wantRatio float64, wantSuspicious bool) {
		t.Helper()
		c.add(observation{elapsed, host, claimed, low, high}, 100)
		if want := (Verdict{wantKnown, wantRatio, wantSuspicious}); c.Verdict != want {
			t.Errorf("got %+v, want %+v", c.Verdict, want)
		}
	}
	const long, short = windowTime, windowTime / 2
	step(short, 1000, 5000, 0, 1000, false, 0, false) // too short
	step(short, 1000, 1000, 0, 1000, true, 2, false)  // of both: 6000 instead of 2000
	step(long, 10, 90, 0, 1000, true, 2, false)       // too little
	step(long, 90, 10, 0, 1000, true, 0, false)       // of both: 100, as measured
	step(long, 1000, 1200, 0, 1000, true, 0.2, false) // odd
	step(long, 1000, 800, 900, 1000, true, -0.2, false)
	step(long, 0, 200, 0, 0, true, 2, true) // as a part of the least figure
	step(long, 1000, 1100, 0, 1000, true, 0.1, false)
	step(long, 0, 1000, 0, 0, true, 10, false)
}

// TestHonest: what honest sandboxes have been seen to report is not odd, and what they cannot report
// is.
func TestHonest(t *testing.T) {
	check := func(name string, of Subject, o observation, want bool) {
		t.Helper()
		var c comparison
		o.elapsed = windowTime
		if c.add(o, least[of]); !c.Known || c.odd == 0 != want {
			t.Errorf("%s: known %t, honest %t", name, c.Known, c.odd == 0)
		}
	}
	cpu := func(name string, host, claimed, waited float64, want bool) {
		t.Helper()
		check(name, CPU, observeCPU(windowTime, host*1e9, claimed*1e9, waited*1e9), want)
	}
	cpu("a spinner", 10, 12.8, 0, true)
	cpu("file I/O on a busy node", 2, 6.4, 10, true)
	cpu("children of a process that ignores SIGCHLD", 10, 3, 0, true)
	cpu("a spinner with a quarter of a CPU", 2.5, 4.7, 7.5, true)
	cpu("six spinners on two cores", 3.3, 9.8, 20, true)
	cpu("an idle sandbox", 1, 0.07, 0, true)
	cpu("a sleeping sandbox that is queried often", 1, 0, 0, true)
	cpu("an idle sandbox on a busy node", 1, 0.07, 20, true)
	cpu("ten times as much", 5, 50, 0, false)
	cpu("more than there is on a busy node", 5, 50, 20, false)
	cpu("nothing", 10, 0, 0, false)
	bytes := func(name string, host, claimed float64, want bool) {
		t.Helper()
		check(name, Network, observeNetwork(0, host, claimed), want)
	}
	bytes("the same traffic", 20e6, 20e6, true)
	bytes("moments apart", 20e6, 20.9e6, true)
	bytes("too little traffic", 20e6, 10e6, false)
	bytes("too much traffic", 20e6, 40e6, false)
	check("memory without the sentry's", Memory, observeMemory(0, 297e6, 246e6), true)
	check("memory of an idle sandbox", Memory, observeMemory(0, 70e6, 3e6), true)
	check("more memory than measured", Memory, observeMemory(0, 300e6, 900e6), false)
}
