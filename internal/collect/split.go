package collect

import (
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// A split divides the CPU time that the host measured of a sandbox among its containers. What a
// container used is known from the sandbox only, and is no counter. So the growth of the host's
// figure in each interval is divided in proportion to the growth of the containers' own figures,
// and added up. The parts never fall, their sum is the host's figure, and a sandbox that lies only
// shifts cost between its own containers.
//
// It does no I/O and has no clock. The zero value is ready. It is not safe for concurrent use.
type split struct {
	at       time.Time     // of the last reading; zero: none
	host     int64         // the host's figure of the last reading
	restored bool          // as of the last reading
	unknown  time.Duration // the figure of unknown containers of the last reading
	none     int64         // CPU time of no container, in nanoseconds
	shares   []*share      // in the order of first sight
	changes  int           // how many times shares have been added or removed
}

// A share is a container's part of the CPU time.
type share struct {
	id    string
	set   *snapshot.LabelSet
	total int64         // in nanoseconds; never falls
	claim time.Duration // the last one
	rate  float64       // growth of the claim per time in the last interval
	there bool          // in the last reading

	now   time.Duration // claim of the reading under way
	grown float64       // weight of the reading under way, in nanoseconds
}

// A reading has the figures of one moment.
type reading struct {
	at         time.Time
	since      time.Time // when the sandbox began
	host       int64     // the host's figure: CPU time of the sandbox, in nanoseconds
	cores      int       // of the sandbox
	restored   bool      // the sandbox was restored from a checkpoint
	containers []claim
	unknown    time.Duration // claimed for containers that are not known
}

// A claim is the CPU time that a sandbox reports for a container.
type claim struct {
	id, name string        // values of labels
	cpu      time.Duration // verify.NotReported: none
}

// growth is the growth from one reading to the next, in nanoseconds.
type growth struct{ host, claimed float64 }

const (
	// claimTick is the precision of claims.
	claimTick = 10 * time.Millisecond
	// maxGone limits the containers that are gone and keep their series. When there are more, the
	// CPU time of the oldest becomes that of no container, so that the sum stays the host's.
	maxGone = 64
)

// add adds a reading. ok is false if the growth compares different things, since one of the figures
// began anew.
func (s *split) add(r reading) (g growth, ok bool) {
	first, restored, elapsed := s.at.IsZero(), r.restored && !s.restored, r.at.Sub(s.at)
	if first {
		elapsed = r.at.Sub(r.since)
	}
	g = growth{host: float64(r.host - s.host), claimed: s.measure(&r, max(elapsed, 0))}
	switch {
	case r.host < s.host: // another cgroup
	case restored: // claims include those from before the checkpoint
		s.none += r.host - s.host
		s.discard()
	default:
		s.divide(r.host-s.host, max(0, float64(r.unknown-s.unknown)))
	}
	ok = !first && !restored && r.host >= s.host
	s.settle(&r, elapsed)
	return g, ok
}

// measure finds what each container, known or not, has grown by, and returns the sum of all. The
// growth that counts for the split is limited to the time of all cores.
func (s *split) measure(r *reading, elapsed time.Duration) (claimed float64) {
	s.match(r.containers)
	claimed = max(0, float64(r.unknown-s.unknown))
	limit := float64(r.cores) * float64(elapsed+claimTick)
	for _, p := range s.shares {
		switch {
		case p.now != verify.NotReported:
			p.grown = max(0, float64(p.now-p.claim)) // a fall counts as 0
			claimed += p.grown
		case p.there:
			// It vanished since the last reading, so its last claim was never seen.
			p.grown = p.rate * float64(elapsed)
		default:
			p.grown = 0
		}
		p.grown = min(p.grown, limit)
	}
	return claimed
}

// match sets the claims of all shares, and adds shares of new containers, which count from 0.
func (s *split) match(claims []claim) {
	for _, p := range s.shares {
		p.now = verify.NotReported
	}
	for _, c := range claims {
		if c.cpu == verify.NotReported {
			continue
		}
		s.shareOf(c).now = c.cpu
	}
}

// divide adds the CPU time to the shares in proportion to their growth. If nothing grew, it belongs
// to no container.
func (s *split) divide(cpu int64, unknown float64) {
	sum := unknown
	for _, p := range s.shares {
		sum += p.grown
	}
	left, passed := cpu, 0.0
	for _, p := range s.shares {
		if p.grown == 0 {
			continue
		}
		// Rounding the bounds between parts, and not the parts, makes their sum exact.
		passed += p.grown
		part := left - int64(float64(cpu)*max(0, 1-passed/sum))
		part = min(max(part, 0), left)
		p.total += part
		left -= part
	}
	s.none += left
}

// discard makes the reading a baseline only.
func (s *split) discard() {
	for _, p := range s.shares {
		p.grown = 0
	}
}

// settle makes the reading the last one.
func (s *split) settle(r *reading, elapsed time.Duration) {
	for _, p := range s.shares {
		if p.there = p.now != verify.NotReported; p.there {
			p.claim = p.now
		}
		p.rate = 0
		if p.there && elapsed > 0 {
			p.rate = p.grown / float64(elapsed)
		}
	}
	s.at, s.host, s.restored, s.unknown = r.at, r.host, r.restored, r.unknown
	s.forget()
}

// finish adds what the host has measured since the last reading to the only container that the
// sandbox has ever had, or to no container if only has no ID. No reading follows.
func (s *split) finish(host int64, only claim) {
	grown := max(0, host-s.host)
	s.host += grown
	if only.id == "" {
		s.none += grown
		return
	}
	s.shareOf(only).total += grown
}

// shareOf returns the share of a container, and adds one if there is none.
func (s *split) shareOf(c claim) *share {
	i := slices.IndexFunc(s.shares, func(p *share) bool { return p.id == c.id })
	if i < 0 {
		i = len(s.shares)
		s.shares = append(s.shares, &share{id: c.id, set: containerSet(c.name, c.id)})
		s.changes++
	}
	return s.shares[i]
}

// forget removes the oldest shares of containers that are gone if there are more than maxGone.
func (s *split) forget() {
	gone := 0
	for _, p := range s.shares {
		if !p.there {
			gone++
		}
	}
	s.shares = slices.DeleteFunc(s.shares, func(p *share) bool {
		if p.there || gone <= maxGone {
			return false
		}
		gone--
		s.none += p.total
		s.changes++
		return true
	})
}

// containerSet returns the labels of a container.
func containerSet(name, id string) *snapshot.LabelSet {
	return snapshot.NewLabelSet(snapshot.Label{Name: "container", Value: name}, snapshot.Label{Name: "container_id", Value: id})
}
