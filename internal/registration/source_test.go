package registration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/state"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// A searcher is a Source whose searches a test answers.
type searcher struct {
	*testing.T
	*Source
	log    testkit.Buffer
	begun  atomic.Int64 // number of searches
	answer func(ctx context.Context) (*state.Registration, error)
}

// newSearcher returns a searcher for a test in a bubble of synctest.
func newSearcher(t *testing.T) *searcher {
	s := &searcher{T: t}
	s.Source = NewSource(Options{Logger: slog.New(slog.NewTextHandler(&s.log, nil))})
	s.Source.search = func(ctx context.Context, _ Build) (*state.Registration, error) {
		s.begun.Add(1)
		return s.answer(ctx)
	}
	t.Cleanup(s.Close)
	return s
}

// expect calls Find when all searches are over or wait, and checks its result, and the number of
// searches when that is so again.
func (s *searcher) expect(what string, b Build, want *state.Registration, wantErr error, searches int) {
	s.Helper()
	synctest.Wait()
	r, err := s.Find(b)
	synctest.Wait()
	if begun := int(s.begun.Load()); r != want || !errors.Is(err, wantErr) || begun != searches {
		s.Errorf("%s: %v, %v, and %d searches; want %v, %v, and %d", what, r, err, begun, want, wantErr, searches)
	}
}

var (
	buildA   = Build{Sentry: host.Executable{File: host.File{Inode: 3}}, Release: Release{"v", "go", "amd64"}}
	buildB   = Build{Sentry: host.Executable{File: host.File{Inode: 4}}, Release: Release{"v", "go", "amd64"}}
	found    = &state.Registration{JSON: []byte(shortJSON)}
	errTest  = errors.New("test")
	errOther = errors.New("other")
)

// buildOf returns a build whose sentry is the file with an inode.
func buildOf(inode uint64) Build {
	return Build{Sentry: host.Executable{File: host.File{Inode: inode}}}
}

// TestFindOnce: a registration is searched for once per build, and Find does not wait for it.
func TestFindOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSearcher(t)
		s.answer = func(context.Context) (*state.Registration, error) {
			time.Sleep(time.Second)
			return found, nil
		}
		s.expect("at first", buildA, nil, ErrSearching, 1)
		s.expect("during the search", buildA, nil, ErrSearching, 1)
		s.expect("another build, which waits for its turn", buildB, nil, ErrSearching, 1)
		time.Sleep(time.Second)
		s.expect("after the search", buildA, found, nil, 2)
		s.expect("the other build, during its search", buildB, nil, ErrSearching, 2)
		time.Sleep(time.Second)
		s.expect("the other build", buildB, found, nil, 2)
		time.Sleep(100 * time.Hour)
		s.expect("much later", buildA, found, nil, 2)
		if log := s.log.String(); log != "" {
			t.Errorf("the log is %s", log)
		}
	})
}

// TestRetry: a search that failed is repeated after a pause, which doubles up to an hour. The
// failure is logged when it changes.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSearcher(t)
		s.answer = func(context.Context) (*state.Registration, error) { return nil, errTest }
		s.expect("at first", buildA, nil, ErrSearching, 1)
		searches := 1
		for _, minutes := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			time.Sleep(minutes*time.Minute - time.Nanosecond)
			s.expect("before the pause is over", buildA, nil, errTest, searches)
			time.Sleep(time.Nanosecond)
			searches++
			s.expect(fmt.Sprintf("after %d minutes", minutes), buildA, nil, errTest, searches)
		}
		if log := s.log.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "err=test") {
			t.Errorf("the log is %s", log)
		}
		s.answer = func(context.Context) (*state.Registration, error) { return nil, errOther }
		time.Sleep(time.Hour)
		s.expect("another failure", buildA, nil, errTest, searches+1)
		s.expect("the other failure", buildA, nil, errOther, searches+1)
		if log := s.log.String(); strings.Count(log, "\n") != 2 || !strings.Contains(log, "err=other") {
			t.Errorf("the log is %s", log)
		}
		s.answer = func(context.Context) (*state.Registration, error) { return found, nil }
		time.Sleep(time.Hour)
		s.expect("at last", buildA, nil, errOther, searches+2)
		s.expect("success", buildA, found, nil, searches+2)
	})
}

// TestManyBuilds: the number of builds is limited. One that is not being searched makes room.
func TestManyBuilds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSearcher(t)
		s.answer = func(context.Context) (*state.Registration, error) { return found, nil }
		for i := range maxBuilds {
			s.expect("a build", buildOf(uint64(1+i)), nil, ErrSearching, 1+i)
		}
		s.expect("a new build", buildA, nil, ErrSearching, maxBuilds+1)
		s.expect("the new build, later", buildA, found, nil, maxBuilds+1)
		if n := len(s.Builds()); n != maxBuilds {
			t.Errorf("%d builds are known", n)
		}

		s.answer = func(ctx context.Context) (*state.Registration, error) { <-ctx.Done(); return nil, ctx.Err() }
		for i := range maxBuilds { // all of them are being searched
			_, _ = s.Find(buildOf(uint64(1 + maxBuilds + i)))
		}
		if _, err := s.Find(buildOf(1 << 40)); err == nil || !strings.Contains(err.Error(), "1024 builds") {
			t.Errorf("one search too many: %v", err)
		}
	})
}

// TestPanic: a panic is a failure of the search.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSearcher(t)
		s.answer = func(context.Context) (*state.Registration, error) { panic("test") }
		s.expect("at first", buildA, nil, ErrSearching, 1)
		if _, err := s.Find(buildA); err == nil || err.Error() != "panic: test" {
			t.Errorf("after the panic: %v", err)
		}
	})
}

// TestClose: Close ends the search that runs and those that wait, and there are none after it.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSearcher(t)
		s.answer = func(ctx context.Context) (*state.Registration, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		s.expect("at first", buildA, nil, ErrSearching, 1)
		s.expect("another build", buildB, nil, ErrSearching, 1)
		s.Close()
		s.Close()
		time.Sleep(time.Hour)
		s.expect("after Close", Build{}, nil, ErrSearching, 1)
		if log := s.log.String(); log != "" {
			t.Errorf("the log is %s", log)
		}
	})
}

// TestWait: Wait returns when the searches are over, or ends them when its context does.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSearcher(t)
		s.answer = func(ctx context.Context) (*state.Registration, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(time.Second):
				return found, nil
			}
		}
		s.Wait(t.Context()) // there is none
		s.expect("at first", buildA, nil, ErrSearching, 1)
		s.Wait(t.Context())
		s.expect("after the search", buildA, found, nil, 1)
		s.expect("another build", buildB, nil, ErrSearching, 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		began := time.Now()
		if s.Wait(ctx); time.Since(began) != time.Millisecond {
			t.Errorf("it waited for %v", time.Since(began))
		}
	})
}
