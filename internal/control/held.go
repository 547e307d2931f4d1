package control

import (
	"slices"
	"time"
)

const (
	// heldMax limits the total size of the buffers of unfinished replies. It has room for a chunk
	// of every query in flight, and some more. Buffers that were dropped to make room are garbage
	// on top of it, at most half as much in tests.
	heldMax = 18 << 20
	// growth is the factor by which the buffer of an unfinished reply grows. With 2 there is more
	// copying; with more than 4 one reply takes too large a part of heldMax.
	growth = 4
)

// hold appends data to the slot's buffer, within the limit of all unfinished replies, and reports
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

// room returns an empty buffer of size bytes for the slot. While there is not enough room, it fails
// the query with the largest buffer, which is rarely an honest sandbox's. If that is the slot's own
// query, room returns nil.
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

// pool has the buffers of unfinished replies, in use or spare, within a limit.
// Spare buffers are kept for speed: without them a reply of 0.6 MB takes 1.7 times as long,
// and leaves 1.4 MB of garbage.
type pool struct {
	most  int      // bytes that may be held: heldMax, or less in tests
	held  int      // bytes of all buffers, spare or not
	spare [][]byte // buffers for the next replies
	used  bool     // since the last call of trim
}

// get returns an empty buffer of at least size bytes, or nil if there is no room for one. It skips spare buffers
// that are much larger, since room would then fail a short reply as the largest.
func (p *pool) get(size int) []byte {
	p.used = true
	if at := slices.IndexFunc(p.spare, func(b []byte) bool { return cap(b) >= size && cap(b) <= 2*size }); at >= 0 {
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

// put makes a buffer from get spare.
func (p *pool) put(b []byte) {
	if cap(b) > 0 {
		p.spare = append(p.spare, b[:0])
	}
}

// trim is called when no buffer is in use. It keeps the spare buffers if any was used since the
// last call.
func (p *pool) trim() {
	if !p.used {
		p.held, p.spare = 0, nil
	}
	p.used = false
}
