package web

import (
	"sync"
	"time"
)

// spareTime is how long a buffer waits for a page that needs it.
const spareTime = 2 * time.Minute

// A spare is one buffer between two pages. A sync.Pool would let it go at every second collection of garbage, and have two of them most of
// the time. One that nobody has needed for a while is let go. All is guarded by the locker.
type spare struct {
	locker sync.Locker
	buffer []byte
	needed int // the most that was asked for since the last look
	look   *time.Timer
}

// take returns an empty buffer with room for size bytes.
func (s *spare) take(size int) []byte {
	s.needed = max(s.needed, size)
	b := s.buffer
	s.buffer = nil
	if cap(b) < size {
		b = make([]byte, 0, size)
	}
	return b[:0]
}

// put gives back a buffer that is not used any more.
func (s *spare) put(b []byte) {
	if cap(b) <= cap(s.buffer) {
		return
	}
	s.buffer = b
	if s.look == nil {
		s.look = time.AfterFunc(spareTime, s.review)
	}
}

// review lets go of a buffer that is much larger than what was needed lately.
func (s *spare) review() {
	s.locker.Lock()
	defer s.locker.Unlock()
	if s.look == nil {
		return // closed
	}
	if cap(s.buffer) > 2*s.needed {
		s.buffer = nil
	}
	s.needed = 0
	s.look.Reset(spareTime)
}

func (s *spare) close() {
	s.buffer = nil
	if s.look != nil {
		s.look.Stop()
		s.look = nil
	}
}
