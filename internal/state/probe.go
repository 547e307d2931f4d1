package state

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Probe finds out which directories have state files. It reads a directory again only if it has
// changed, so thousands of directories without sandboxes cost little. It is safe for concurrent use.
type Probe struct {
	names sync.Pool // buffers for directory entries, *[]byte

	mu    sync.Mutex // not held while a directory is read
	known map[string]*probed
	round uint
}

// probed is what was found in a directory.
type probed struct {
	device   uint64
	stamp    stamp
	hasFiles bool
	round    uint // the last one that asked for it
}

// NewProbe returns a Probe.
func NewProbe() *Probe {
	return &Probe{known: make(map[string]*probed), names: sync.Pool{New: func() any { names := make([]byte, 8<<10); return &names }}}
}

// Next begins a round of calls of HasFiles, and forgets the directories that the last round did not
// ask for.
func (p *Probe) Next() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for dir, k := range p.known {
		if k.round != p.round {
			delete(p.known, dir)
		}
	}
	p.round++
}

// HasFiles reports whether a directory has state files. st is its current status. A directory that
// cannot be read counts as having some.
func (p *Probe) HasFiles(dir string, st *unix.Stat_t) bool {
	now, at := time.Now(), stampOf(st)
	if has, known := p.recall(dir, st, at); known {
		return has
	}
	names := p.names.Get().(*[]byte)
	defer p.names.Put(names)
	has, err := hasFiles(dir, *names)
	switch {
	case err != nil:
		return true
	case at.settled(now):
		p.mu.Lock()
		defer p.mu.Unlock()
		p.known[dir] = &probed{device: st.Dev, stamp: at, hasFiles: has, round: p.round}
	}
	return has
}

// recall returns the last result for a directory that has not changed since.
func (p *Probe) recall(dir string, st *unix.Stat_t, at stamp) (has, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.known[dir]
	if k == nil || k.device != st.Dev || k.stamp != at {
		return false, false
	}
	k.round = p.round
	return k.hasFiles, true
}

// hasFiles reports whether a directory has state files. The buffer is for its entries.
func hasFiles(dir string, names []byte) (bool, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Getdents(fd, names)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return false, err
		}
		for entries := names[:n]; len(entries) > 0; {
			var name []byte
			name, entries = nextEntry(entries)
			if _, _, ok := parseName(string(name)); ok {
				return true, nil
			}
		}
	}
}
