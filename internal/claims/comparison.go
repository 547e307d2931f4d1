package claims

import "time"

// A Subject is something that is compared.
type Subject int

// The subjects.
const (
	CPU     Subject = iota // CPU time of all containers
	Memory                 // memory of all containers
	Network                // bytes sent
	Subjects
)

func (s Subject) String() string { return [...]string{"cpu", "memory", "network_transmit"}[s] }

// A Verdict is the result of comparing claims with the host's figures.
type Verdict struct {
	Known      bool    // there is a complete window
	Ratio      float64 // difference in the last complete window, as a part of the host's figure
	Suspicious bool    // the claims are outside the range of honest sandboxes
}

// A comparison compares claims with the host's figures of the same thing, over windows that are long
// enough to make the moment between the two insignificant.
type comparison struct {
	Verdict
	window observation // the one under way
	odd    int         // complete windows in a row, up to the last one, outside the range of honest sandboxes
}

// An observation has both figures of an interval, and the range of claims of honest sandboxes.
type observation struct {
	elapsed       time.Duration
	host, claimed float64
	low, high     float64
}

const (
	// windowTime is the shortest window.
	windowTime = 10 * time.Second
	// oddWindows is how many windows in a row make a sandbox suspicious. A single one may be odd
	// since processes came and went between two collections.
	oddWindows = 3
)

// add adds an observation. A window ends when one of the figures is at least least: below, noise
// matters more.
func (c *comparison) add(o observation, least float64) {
	w := &c.window
	w.elapsed += o.elapsed
	w.host += o.host
	w.claimed += o.claimed
	w.low += o.low
	w.high += o.high
	if w.elapsed < windowTime || max(w.host, w.claimed) < least {
		return
	}
	c.odd++
	if w.claimed >= w.low && w.claimed <= w.high+least {
		c.odd = 0
	}
	c.Verdict = Verdict{Known: true, Ratio: (w.claimed - w.host) / max(w.host, least), Suspicious: c.odd >= oddWindows}
	c.window = observation{}
}

// least are the figures below which noise matters more: a second in nanoseconds, and bytes.
var least = [Subjects]float64{CPU: 1e9, Memory: 64e6, Network: 1e6}

// The range of honest sandboxes, measured with runsc; see docs/metrics.md.
const (
	// A sandbox reports the time for which tasks could run. A spinner reports up to 1.3 times what
	// the host measures, I/O up to 1.6 times, and the time for which they wait for a CPU besides.
	honestCPU = 2
	// Processes whose parents ignore SIGCHLD leave no time behind, but never all report nothing.
	leastCPU = 0.01
	// The sentry's own time, which is not reported, takes less than this part of a core while all
	// tasks sleep, even if it is queried 20 times per second.
	sentryCPU = 0.1
	// The host's figure also has the sentry's and the gofer's memory.
	honestMemory = 1.1
	// Both sides count the same packets.
	honestNetwork = 0.05
)

// observeCPU returns the observation of CPU time. waited is the time for which the sandbox may have
// waited for a CPU, on all its cores.
func observeCPU(elapsed time.Duration, host, claimed, waited float64) observation {
	busy := max(0, host-sentryCPU*float64(elapsed))
	return observation{elapsed, host, claimed, leastCPU * busy, honestCPU*host + waited}
}

func observeMemory(elapsed time.Duration, host, claimed float64) observation {
	return observation{elapsed, host, claimed, 0, honestMemory * host}
}

func observeNetwork(elapsed time.Duration, host, claimed float64) observation {
	return observation{elapsed, host, claimed, (1 - honestNetwork) * host, (1 + honestNetwork) * host}
}
