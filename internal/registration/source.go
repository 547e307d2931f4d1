package registration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/sandmeter/sandmeter/internal/state"
)

// ErrSearching means that the registration of a build is being searched.
var ErrSearching = errors.New("no metrics registered; its build of runsc is being asked for them")

// ErrIncomplete means that the runsc of a build does not print the metrics of its sandboxes, because
// their kernel is a program of its own.
var ErrIncomplete = errors.New("runsc does not know the metrics of the kernel that it starts")

// A failed search is repeated after minPause, and each time it fails again after twice as long as
// before, up to maxPause.
const (
	minPause = time.Minute
	maxPause = time.Hour
)

// maxBuilds limits the number of builds that are known at a time. Each takes one search, and 50 KB if
// its registration differs from others. Each node in a container has a build of its own, because it has
// files of its own.
const maxBuilds = 1024

// Options configure a Source.
type Options struct {
	// Programs are absolute paths of runsc programs. Empty: those that the container runtimes below
	// Root are configured with, and those in the directories of Path.
	Programs []string
	Root     string // directory that stands for /
	Path     string // directories, in the form of $PATH
	// Fallback is the registration of builds of which there is no program; nil: none.
	Fallback *state.Registration
	Logger   *slog.Logger
}

// A Source finds the registrations of builds of runsc by running the programs of these builds. Its
// methods are safe for concurrent use. Close it when it is no longer needed.
//
// Each search has a goroutine, which Close waits for, and one search runs at a time. Find never
// waits for any: it returns what the last search has found. So a program that hangs, fails or
// floods costs nothing but a registration.
type Source struct {
	options Options
	ctx     context.Context // done when the Source is closed
	cancel  context.CancelFunc
	turn    chan struct{} // has an element while a search runs

	mu       sync.Mutex
	closed   bool
	known    map[Build]*result
	searches sync.WaitGroup

	// Replaced in tests.
	now    func() time.Time
	search func(ctx context.Context, b Build) (*state.Registration, error)
}

// A result is that of the last search for a build.
type result struct {
	registration *state.Registration
	err          error
	searching    bool
	pause        time.Duration // after the last failure
	next         time.Time     // when the search is repeated if it failed
}

// NewSource returns a Source. It reads and runs nothing before the first call of Find.
func NewSource(o Options) *Source {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Source{options: o, ctx: ctx, cancel: cancel, turn: make(chan struct{}, 1), known: make(map[Build]*result), now: time.Now}
	s.search = s.ask
	return s
}

// Close ends the search that runs, with the program that it runs, and waits for it. After Close,
// Find starts no search. Closing again does nothing.
func (s *Source) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.searches.Wait()
}

// Wait waits until no search is running, or ctx is done. No Find may be called meanwhile.
func (s *Source) Wait(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.searches.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.Close()
		<-done
	}
}

// Find returns the registration of a build, or why it is not known. The first call for a build
// starts a search and returns ErrSearching. Equal registrations may have different pointers.
func (s *Source) Find(b Build) (*state.Registration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.known[b]
	if r == nil {
		if len(s.known) >= maxBuilds {
			s.makeRoom()
		}
		if len(s.known) >= maxBuilds {
			return nil, fmt.Errorf("the metrics of %d builds of runsc are being searched", maxBuilds)
		}
		r = &result{err: ErrSearching}
		s.known[b] = r
	}
	if r.registration == nil && !r.searching && !s.now().Before(r.next) && !s.closed {
		r.searching = true
		s.searches.Go(func() { s.run(b, r) })
	}
	return r.registration, r.err
}

// Programs returns the programs that the Source may run, and why others are not known.
func (s *Source) Programs() ([]string, error) {
	paths, err := s.paths()
	return slices.DeleteFunc(slices.Clone(paths), func(path string) bool {
		p, _ := first([]string{path}, s.mayRun)
		if p != nil {
			p.close()
		}
		return p == nil
	}), err
}

// Builds returns the builds for which Find was called, with the errors that it returns now.
func (s *Source) Builds() map[Build]error {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[Build]error, len(s.known))
	for b, r := range s.known {
		all[b] = r.err
	}
	return all
}

// makeRoom drops a build, if not all are being searched. A sandbox asks until it has a registration, so a
// dropped build is rarely asked for again, and is searched again then. The caller holds mu.
func (s *Source) makeRoom() {
	for b, r := range s.known {
		if !r.searching {
			delete(s.known, b)
			return
		}
	}
}

// run searches for a build, in a goroutine of its own, and stores the result.
func (s *Source) run(b Build, r *result) {
	s.turn <- struct{}{}
	found, err := s.recovered(b)
	<-s.turn
	if s.store(r, found, err) && err != nil {
		s.options.Logger.Warn("Metrics of a build of runsc are unknown", "version", b.Release.Version, "err", err)
	}
}

// store stores the result of a search, and reports whether it differs from the last one. After
// Close it does nothing: the search was cut short.
func (s *Source) store(r *result, found *state.Registration, err error) (isNew bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.searching = false
	if s.closed {
		return false
	}
	isNew = err == nil || r.err.Error() != err.Error()
	r.registration, r.err = s.shared(found), err
	r.pause = min(max(2*r.pause, minPause), maxPause)
	r.next = s.now().Add(r.pause)
	return isNew
}

// shared returns an equal registration of another build, which most builds have, or the same one. The
// caller holds mu.
func (s *Source) shared(found *state.Registration) *state.Registration {
	if found == nil {
		return nil
	}
	for _, r := range s.known {
		if other := r.registration; other != nil && other.Printed == found.Printed && bytes.Equal(other.JSON, found.JSON) {
			return other
		}
	}
	return found
}

// recovered is search, except that a panic is an error: one of a configuration file, for example,
// must not end the server.
func (s *Source) recovered(b Build) (found *state.Registration, err error) {
	defer func() {
		if p := recover(); p != nil {
			found, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	if err := s.ctx.Err(); err != nil {
		return nil, err
	}
	return s.search(s.ctx, b)
}
