package state

import (
	"bytes"
	"hash/maphash"
	"slices"

	"github.com/sandmeter/sandmeter/internal/jscan"
)

// recentMax is how many registrations are tried byte for byte before one is scanned and hashed. Nearly every node has one runsc
// release, or two while it is being upgraded.
const recentMax = 4

// registrations makes equal registrations one pointer, so that a node keeps 50 KB for all sandboxes of a runsc release.
type registrations struct {
	seed   maphash.Seed
	byHash map[uint64][]*Registration
	recent []*Registration // most recent first
}

func newRegistrations() *registrations {
	return &registrations{seed: maphash.MakeSeed(), byHash: make(map[uint64][]*Registration)}
}

// intern reads the registration that s is before.
func (r *registrations) intern(s *jscan.Scanner) *Registration {
	s.Kind() // moves to the value's first byte
	rest := s.Rest()
	for _, known := range r.recent {
		// A known one was a whole value, and no value is the beginning of another, since both begin with a brace.
		if bytes.HasPrefix(rest, known.JSON) {
			s.Advance(len(known.JSON))
			return known
		}
	}
	raw := rawValue(s)
	if s.Err() != nil {
		return nil
	}
	return r.lookup(raw)
}

func (r *registrations) lookup(raw []byte) *Registration {
	hash := maphash.Bytes(r.seed, raw)
	for _, known := range r.byHash[hash] {
		if bytes.Equal(known.JSON, raw) {
			r.remember(known)
			return known
		}
	}
	reg := &Registration{bytes.Clone(raw)}
	r.byHash[hash] = append(r.byHash[hash], reg)
	r.remember(reg)
	return reg
}

func (r *registrations) remember(reg *Registration) {
	if len(reg.JSON) == 0 || reg.JSON[0] != '{' {
		return // no other kind of value is safe to compare as a prefix
	}
	if len(r.recent) == recentMax {
		r.recent = r.recent[:recentMax-1]
	}
	r.recent = slices.Insert(r.recent, 0, reg)
}

// keepOnly forgets all registrations but those in use.
func (r *registrations) keepOnly(used map[*Registration]bool) {
	unused := func(reg *Registration) bool { return !used[reg] }
	for hash, list := range r.byHash {
		if list = slices.DeleteFunc(list, unused); len(list) == 0 {
			delete(r.byHash, hash)
		} else {
			r.byHash[hash] = list
		}
	}
	r.recent = slices.DeleteFunc(r.recent, unused)
}
