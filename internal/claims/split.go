package claims

import (
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// A split divides the host's CPU time of a sandbox among its containers. Times are in nanoseconds.
type split struct {
	last   Reading  // the last one with CPU time, without Containers; zero: none
	none   int64    // CPU time of no container
	shares []*Share // in the order of first sight
}

// A Share is a container's part of the sandbox's CPU time.
type Share struct {
	ID, Name string
	CPU      int64 // nanoseconds; never falls

	claim int64   // the last one
	rate  float64 // growth of the claim per time in the last interval
	there bool    // in the last reading

	now   fact.Figure // claim of the reading under way
	grown float64     // weight of the reading under way, in nanoseconds
}

const (
	// claimTick is the precision of claims.
	claimTick = 10 * time.Millisecond
	// MaxGone limits the containers that are gone and keep their shares. When there are more, the CPU
	// time of the oldest is credited to no container, so that the sum stays the host's.
	MaxGone = 64
)

// add adds a reading with CPU time, and returns the growth of the host's figure and of all claims. ok
// is false if they cannot be compared, because one of them began anew.
func (s *split) add(r *Reading) (host, claimed float64, ok bool) {
	first, restored, elapsed := s.last.Time.IsZero(), r.Restored && !s.last.Restored, r.Time.Sub(s.last.Time)
	if first {
		elapsed = r.Time.Sub(r.Began)
	}
	grown := r.CPU.Value - s.last.CPU.Value
	unknown := max(0, float64(r.UnknownCPU-s.last.UnknownCPU))
	claimed = s.measure(r, max(elapsed, 0), unknown)
	switch {
	case grown < 0: // another cgroup
	case restored: // claims include those from before the checkpoint
		s.none += grown
		for _, p := range s.shares {
			p.grown = 0
		}
	default:
		s.divide(grown, unknown)
	}
	s.settle(r, elapsed)
	return float64(grown), claimed, !first && !restored && grown >= 0
}

// measure sets the growth of each container's claim, and returns the sum of all, known or not. The
// growth that counts for the split is limited to the time of all cores.
func (s *split) measure(r *Reading, elapsed time.Duration, unknown float64) (claimed float64) {
	s.match(r.Containers)
	claimed = unknown
	limit := float64(r.Cores) * float64(elapsed+claimTick)
	for _, p := range s.shares {
		switch {
		case p.now.Known:
			p.grown = max(0, float64(p.now.Value-p.claim)) // a fall counts as 0
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
func (s *split) match(containers []Container) {
	for _, p := range s.shares {
		p.now = fact.Figure{}
	}
	for _, c := range containers {
		if c.CPU.Known {
			s.shareOf(c).now = c.CPU
		}
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
		p.CPU += part
		left -= part
	}
	s.none += left
}

// settle makes the reading the last one.
func (s *split) settle(r *Reading, elapsed time.Duration) {
	gone := 0
	for _, p := range s.shares {
		if p.there = p.now.Known; p.there {
			p.claim = p.now.Value
		} else {
			gone++
		}
		p.rate = 0
		if p.there && elapsed > 0 {
			p.rate = p.grown / float64(elapsed)
		}
	}
	s.last = *r
	s.last.Containers = nil
	s.forget(gone)
}

// finish adds the growth of the host's figure since the last reading to the share of the only
// container, or to no container if only has no ID. No reading follows.
func (s *split) finish(host int64, only Container) {
	grown := max(0, host-s.last.CPU.Value)
	s.last.CPU.Value += grown
	if only.ID == "" {
		s.none += grown
		return
	}
	s.shareOf(only).CPU += grown
}

// shareOf returns the share of a container, and adds one if there is none.
func (s *split) shareOf(c Container) *Share {
	i := slices.IndexFunc(s.shares, func(p *Share) bool { return p.ID == c.ID })
	if i < 0 {
		i = len(s.shares)
		s.shares = append(s.shares, &Share{ID: c.ID, Name: c.Name})
	}
	return s.shares[i]
}

// forget removes the oldest shares of containers that are gone if there are more than MaxGone.
func (s *split) forget(gone int) {
	s.shares = slices.DeleteFunc(s.shares, func(p *Share) bool {
		if p.there || gone <= MaxGone {
			return false
		}
		gone--
		s.none += p.CPU
		return true
	})
}
