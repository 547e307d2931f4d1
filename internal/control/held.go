package control

import (
	"slices"
	"time"
)

const (
	// heldMax bounds the bytes of all buffers of unfinished replies together. It has room for a
	// chunk of every query in flight, and some more. Buffers that had to make room for others are
	// garbage on top of it, half as much in the worst case that is known.
	heldMax = 18 << 20
	// growth is by how much the buffer of an unfinished reply grows. With 2 there is more copying,
	// with more than 4 one reply takes too much of what there is for all.
	growth = 4
)

// hold appends data to what the slot has, within the bound on all unfinished replies, and reports
// whether the slot's query is still in flight.
func (l *Loop) hold(i int32, data []byte, now time.Time) bool {
	s := &l.slots[i]
	if need := len(s.partial) + len(data); need > cap(s.partial) {
		size := chunk
		for size < need {
			size *= growth
		}
		grown := l.room(i, min(size, s.limit), now)
		if grown == nil {
			return false
		}
		grown = append(grown, s.partial...)
		l.pool.put(s.partial)
		s.partial = grown
	}
	s.partial = append(s.partial, data...)
	return true
}

// room returns an empty buffer of size bytes for the slot. While there is none, the query whose
// reply takes most room fails, which is hardly ever an honest one. If that is the slot's own, room
// returns nil.
func (l *Loop) room(i int32, size int, now time.Time) []byte {
	for {
		if b := l.pool.get(size); b != nil {
			return b
		}
		victim := l.largest(i)
		l.fail(victim, overBudget, now)
		if victim == i {
			return nil
		}
	}
}

// largest returns the slot whose buffer is the largest, however full it is; slot i if no other has
// a larger one.
func (l *Loop) largest(i int32) int32 {
	for j := range l.slots {
		if cap(l.slots[j].partial) > cap(l.slots[i].partial) {
			i = int32(j)
		}
	}
	return i
}

// pool has the buffers of unfinished replies, in use or spare, within a bound.
//
// Spare buffers are kept because that pays: without them a reply of 0.6 MB takes 1.7 times as long,
// and leaves 1.4 MB of garbage (BenchmarkRunLarge).
type pool struct {
	most  int      // bytes that may be held: heldMax, or less in tests
	held  int      // bytes of all buffers, spare or not
	spare [][]byte // buffers for the next replies
	used  bool     // since the last call of trim
}

// get returns an empty buffer of at least size bytes, or nil if there is no room for one.
func (p *pool) get(size int) []byte {
	p.used = true
	if at := p.fitting(size); at >= 0 {
		b := p.spare[at]
		p.spare = slices.Delete(p.spare, at, at+1)
		return b
	}
	for p.held+size > p.most {
		last := len(p.spare) - 1
		if last < 0 {
			return nil
		}
		p.held -= cap(p.spare[last])
		p.spare = slices.Delete(p.spare, last, last+1)
	}
	p.held += size
	return make([]byte, 0, size)
}

// fitting returns the index of the smallest spare buffer with room for size bytes, or -1. One that
// is much larger does not fit: it would make a short reply the largest.
func (p *pool) fitting(size int) int {
	best := -1
	for i, b := range p.spare {
		if cap(b) >= size && cap(b) <= 2*size && (best < 0 || cap(b) < cap(p.spare[best])) {
			best = i
		}
	}
	return best
}

// put makes a buffer from get spare.
func (p *pool) put(b []byte) {
	if cap(b) > 0 {
		p.spare = append(p.spare, b[:0])
	}
}

// trim is called when no buffer is in use. It keeps the spare ones if any was needed since the last
// call.
func (p *pool) trim() {
	if !p.used {
		p.held, p.spare = 0, nil
	}
	p.used = false
}
