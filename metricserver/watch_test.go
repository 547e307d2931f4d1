package metricserver

import (
	"context"
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/clock"
	"github.com/sandmeter/sandmeter/internal/guard"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// TestWatch: the watch notices changes in a directory soon, and also when the directory is removed
// or created again, with inotify itself.
func TestWatch(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "root")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(dir, 0o755))
	type arrival struct {
		root, name string
		created    bool
	}
	arrivals, looks := make(chan arrival, 1000), make(chan struct{}, 1000)
	arrive := func(root, name string, created bool) { arrivals <- arrival{root, name, created} }
	w := newWatch([]string{dir, filepath.Join(parent, "do*")}, func() []string { return []string{dir} }, arrive, func() { looks <- struct{}{} }, slog.New(slog.DiscardHandler), guard.New(clock.Real))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.run(ctx) })
	defer running.Wait()
	defer cancel()
	within := time.After(rescan / 2) // long for a slow machine, but shorter than rescan
	looksAfter := func(what string) {
		t.Helper()
		select {
		case <-looks:
		case <-within:
			t.Fatalf("%s is not noticed", what)
		}
	}
	arrives := func(root, name string) {
		t.Helper()
		for want := (arrival{root, name, true}); ; {
			select {
			case got := <-arrivals:
				if got == want {
					return
				}
			case <-within:
				t.Fatalf("%s in %s does not arrive", name, root)
			}
		}
	}
	write := func(root, name string) { must(os.WriteFile(filepath.Join(root, name), nil, 0o644)) }
	looksAfter("the start")
	write(dir, "a.state")
	arrives(dir, "a.state")
	looksAfter("a new file")
	must(os.RemoveAll(dir))
	looksAfter("the end of the directory")
	must(os.Mkdir(dir, 0o755))
	write(dir, "b.state")
	arrives(dir, "b.state")
	another := filepath.Join(parent, "do1")
	must(os.Mkdir(another, 0o755))
	write(another, "c.state")
	arrives(another, "c.state")
}

// A watchedDirs is a watch of directories below a temporary one, which only the test changes.
type watchedDirs struct {
	*testing.T
	*watch
	dir      string
	log      testkit.Buffer
	wds      map[uint64]int    // by inode
	masks    map[string]uint32 // by the path with which the kernel was asked
	arrivals []string
	failing  error
}

// newWatched returns a watch of the roots, which are in a temporary directory with the directories
// that exist already.
func newWatched(t *testing.T, roots string, exist ...string) *watchedDirs {
	t.Helper()
	w := &watchedDirs{T: t, dir: t.TempDir(), wds: make(map[uint64]int), masks: make(map[string]uint32)}
	w.make(exist...)
	var configured []string
	for _, root := range strings.Fields(roots) {
		configured = append(configured, w.path(root))
	}
	arrive := func(root, name string, created bool) {
		what := " changed"
		if created {
			what = " created"
		}
		w.arrivals = append(w.arrivals, strings.TrimPrefix(root, w.dir+"/")+"/"+name+what)
	}
	w.watch = newWatch(configured, func() []string { return nil }, arrive, nil, slog.New(slog.NewTextHandler(&w.log, nil)), guard.New(clock.Real))
	w.watch.open = func() (*notifier, error) { return &notifier{add: w.add, remove: func(int) {}, close: func() {}}, nil }
	w.survey()
	w.expect("at the start") // what is there may be old
	return w
}

// add stands for the kernel.
func (w *watchedDirs) add(dir string, mask uint32) (int, error) {
	var st unix.Stat_t
	switch err := unix.Stat(dir, &st); {
	case err != nil:
		return -1, err
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return -1, unix.ENOTDIR // because of IN_ONLYDIR
	case w.failing != nil:
		return -1, w.failing
	case w.wds[st.Ino] == 0:
		w.wds[st.Ino] = len(w.wds) + 1
	}
	w.masks[dir] |= mask
	return w.wds[st.Ino], nil
}

func (w *watchedDirs) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *watchedDirs) path(name string) string { return filepath.Join(w.dir, name) }

// make makes directories, and files where a name has a dot.
func (w *watchedDirs) make(names ...string) {
	w.Helper()
	for _, name := range names {
		if strings.Contains(name, ".") {
			w.must(os.WriteFile(w.path(name), nil, 0o600))
		} else {
			w.must(os.MkdirAll(w.path(name), 0o755))
		}
	}
}

// change tells of a change in a directory, which has to be watched.
func (w *watchedDirs) change(dir, name string, mask uint32) (relevant bool) {
	w.Helper()
	d := w.watched[w.path(dir)]
	if d == nil {
		w.Fatalf("%q is not watched", dir)
	}
	return w.handle(change{d.wd, mask, name})
}

// expect checks what has arrived since the last check.
func (w *watchedDirs) expect(what string, want ...string) {
	w.Helper()
	slices.Sort(w.arrivals)
	if !slices.Equal(w.arrivals, want) {
		w.Errorf("%s: %q arrived, want %q", what, w.arrivals, want)
	}
	w.arrivals = nil
}

// expectWatched checks which directories are watched.
func (w *watchedDirs) expectWatched(what string, want ...string) {
	w.Helper()
	var got []string
	for path := range w.watched {
		got = append(got, strings.TrimPrefix(strings.TrimPrefix(path, w.dir), "/"))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		w.Errorf("%s: watched are %q, want %q", what, got, want)
	}
}

const (
	created = unix.IN_CREATE
	changed = unix.IN_MODIFY
	deleted = unix.IN_DELETE
	itself  = unix.IN_DELETE_SELF
)

// TestRootAppears: when a root appears, the files that are already in it have been created, and later
// ones are noticed.
func TestRootAppears(t *testing.T) {
	w := newWatched(t, "do*")
	w.make("do1", "do1/a.state")
	if !w.change("", "do1", created|unix.IN_ISDIR) {
		t.Error("a root that appears is not worth a look")
	}
	w.expect("what was there before the watch", "do1/a.state created")
	w.expectWatched("then", "", "do1")
	w.make("do1/b.state")
	w.change("do1", "b.state", created)
	w.change("do1", "b.state", changed)
	w.expect("what came after it", "do1/b.state changed", "do1/b.state created")
	w.make("do2")
	if !w.handle(change{-1, unix.IN_Q_OVERFLOW, ""}) || w.overflows.Load() != 1 {
		t.Error("lost changes are not worth a look, or not counted")
	}
	w.expectWatched("after lost changes", "", "do1", "do2")
}

// TestPathAppears: so it is if the directories that lead to the root appear with it.
func TestPathAppears(t *testing.T) {
	for _, roots := range []string{"*/y/z1", "x/y/z1", "x/*/z1"} {
		w := newWatched(t, roots, "other")
		w.make("x/y/z1", "x/y/z1/a.state", "x/no/z1", "x/y/no")
		w.change("", "x", created|unix.IN_ISDIR)
		want := []string{"x/y/z1/a.state created"}
		w.expect(roots, want...)
		w.must(os.RemoveAll(w.path("x")))
		w.change("", "x", deleted|unix.IN_ISDIR)
		w.make("x")
		w.change("", "x", created|unix.IN_ISDIR)
		w.make("x/y")
		w.change("x", "y", created|unix.IN_ISDIR)
		w.make("x/y/z1", "x/y/z1/a.state")
		w.change("x/y", "z1", created|unix.IN_ISDIR)
		w.expect(roots+", one after the other", want...)
	}
}

// TestWatchedWays: roots are watched, empty ones too, and the directories that lead to them. Of one
// that does not exist, that is the nearest one above it that does.
func TestWatchedWays(t *testing.T) {
	check := func(roots, exist string, want ...string) {
		t.Helper()
		newWatched(t, roots, strings.Fields(exist)...).expectWatched(roots, want...)
	}
	check("a", "a b", "a")
	check("a/b/c", "a b", "a")
	check("a/b/c", "a/b/c", "a/b/c")
	check("*", "a b/c file.", "", "a", "b")
	check("a/*/r", "a/1/r a/2/x a/3 b/1/r", "a", "a/1/r", "a/2", "a/3")
	check("a/*/r/s", "a/1/r/s a/2/r a/3", "a", "a/1/r/s", "a/2/r", "a/3")
	check("a/*/r a/*/s", "a/1/r a/2/r a/2/s", "a", "a/1", "a/1/r", "a/2/r", "a/2/s")
	check("a/*/*", "a/1/r a/2/x a/3 b/1/r", "a", "a/1", "a/1/r", "a/2", "a/2/x", "a/3")
	check("a/* b a/1", "a/1 b", "a", "a/1", "b")
	check("a a/*", "a/1", "a", "a/1")
	check("none/*", "", "")
}

// TestRootDisappears: the watch on a root ends with the root, and another directory in its place is a
// new root.
func TestRootDisappears(t *testing.T) {
	for _, roots := range []string{"do*", "do1"} {
		for how, tell := range map[string]func(w *watchedDirs){
			"both tell":     func(w *watchedDirs) { w.change("do1", "", itself); w.change("", "do1", deleted|unix.IN_ISDIR) },
			"the root":      func(w *watchedDirs) { w.change("do1", "", itself) },
			"it is ignored": func(w *watchedDirs) { w.change("do1", "", unix.IN_IGNORED) },
			"it is moved":   func(w *watchedDirs) { w.change("do1", "", unix.IN_MOVE_SELF) },
		} {
			w := newWatched(t, roots, "do1")
			w.must(os.RemoveAll(w.path("do1")))
			tell(w)
			w.expectWatched(how, "")
			w.make("do1", "do1/a.state")
			w.change("", "do1", created|unix.IN_ISDIR)
			w.expect(how, "do1/a.state created")
			w.expectWatched(how, "", "do1")
		}
		w := newWatched(t, roots, "do1")
		w.must(os.RemoveAll(w.path("do1")))
		w.make("do1", "do1/a.state") // before the watch hears of the end of the old one
		w.change("do1", "", itself)
		w.expect("a directory in the place of another", "do1/a.state created")
	}
}

// TestDirectoryAboveIsMoved: a root has another path, or none, if a directory above it is moved.
func TestDirectoryAboveIsMoved(t *testing.T) {
	w := newWatched(t, "do*/x/r", "do1/x/r")
	w.must(os.Rename(w.path("do1"), w.path("do2")))
	w.make("do2/x/r/a.state")
	w.change("", "do1", unix.IN_MOVED_FROM|unix.IN_ISDIR)
	w.expectWatched("moved away", "")
	w.change("", "do2", unix.IN_MOVED_TO|unix.IN_ISDIR)
	w.expectWatched("moved", "", "do2/x/r")
	w.expect("moved", "do2/x/r/a.state created")
}

// TestWatchedByTwoPaths: a directory with two paths is watched by both, as long as both are.
func TestWatchedByTwoPaths(t *testing.T) {
	w := newWatched(t, "run/a/* var/b/*", "run")
	w.must(os.Symlink("run", w.path("var")))
	w.change("", "var", created)
	w.expectWatched("a link", "", "run", "var")
	w.make("run/a/1", "run/a/1/x.state", "run/b/2", "run/b/2/y.state")
	w.change("run", "a", created|unix.IN_ISDIR)
	w.change("var", "b", created|unix.IN_ISDIR)
	w.expect("both", "run/a/1/x.state created", "var/b/2/y.state created")
	w.must(os.Remove(w.path("var")))
	w.change("", "var", deleted)
	w.expectWatched("without the link", "", "run", "run/a", "run/a/1")
}

// TestIrrelevantChanges: other files and directories in one that leads to roots, which may be /tmp, are
// not worth a look, and writes to files are not even reported.
func TestIrrelevantChanges(t *testing.T) {
	w := newWatched(t, "do*/r", "do1/r", "do2", "other")
	w.make("x.log", "do9.", "do2/x.log")
	for _, dir := range []string{"", "do2"} {
		if w.change(dir, "do9.", created) {
			t.Error("a file is worth a look")
		}
		for _, name := range []string{"x.log", "other", "gone"} {
			for _, mask := range []uint32{created, unix.IN_MOVED_FROM} {
				if w.change(dir, name, mask) {
					t.Errorf("%#x of %q in %q is worth a look", mask, name, dir)
				}
			}
		}
		if w.masks[w.path(dir)]&unix.IN_MODIFY != 0 {
			t.Errorf("writes in %q are reported", dir)
		}
	}
	if w.handle(change{99, created, "do2"}) {
		t.Error("a change in a directory that is not watched any more is worth a look")
	}
	w.expectWatched("all", "", "do1/r", "do2")
	w.expect("all")
	if !w.change("do1/r", "x.lock", created) || w.masks[w.path("do1/r")]&unix.IN_MODIFY == 0 {
		t.Error("changes in a root are not reported")
	}
}

// TestTooManyDirectories: there is a limit on watches. Roots that are served come first, and what is in
// a directory that appears arrives without a watch.
func TestTooManyDirectories(t *testing.T) {
	w := newWatched(t, "do*", "do1", "do2", "do3")
	w.most = 4
	w.make("do4", "do4/a.state")
	w.change("", "do4", created|unix.IN_ISDIR)
	w.expect("a root without a watch", "do4/a.state created")
	w.expectWatched("a root without a watch", "", "do1", "do2", "do3")
	w.served = func() []string { return []string{w.path("do4")} }
	w.survey()
	if w.watched[w.path("do4")] == nil || len(w.watched) != 4 {
		t.Errorf("watched are %v, want do4 among four", w.watched)
	}
	w.survey()
	if log := w.log.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "Too many directories to watch") {
		t.Errorf("the log is\n%s", log)
	}
	w.must(os.RemoveAll(w.path("do1")))
	w.must(os.RemoveAll(w.path("do2")))
	w.survey()
	w.expectWatched("enough places", "", "do3", "do4")
}

// TestFailingWatches: a root that cannot be watched is looked into when it appears.
func TestFailingWatches(t *testing.T) {
	w := newWatched(t, "do*", "do1")
	w.failing = unix.ENOSPC
	w.make("do2", "do2/a.state")
	w.change("", "do2", created|unix.IN_ISDIR)
	w.expect("a root that cannot be watched", "do2/a.state created")
	w.expectWatched("then", "", "do1")
	w.failing = nil
	w.survey()
	w.expectWatched("with watches", "", "do1", "do2")
}

// TestNextChange: events are parsed as the kernel writes them, and nothing else is.
func TestNextChange(t *testing.T) {
	event := func(wd int32, mask uint32, name string) []byte {
		data := binary.NativeEndian.AppendUint32(nil, uint32(wd))
		for _, field := range []uint32{mask, 0, uint32(len(name))} {
			data = binary.NativeEndian.AppendUint32(data, field)
		}
		return append(data, name...)
	}
	check := func(data []byte, want ...change) {
		t.Helper()
		var got []change
		for len(data) > 0 {
			var c change
			c, data = nextChange(data)
			got = append(got, c)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	a, b := event(1, created, "a.state\x00\x00\x00"), event(-1, unix.IN_Q_OVERFLOW, "")
	check(slices.Concat(a, b, a), change{1, created, "a.state"}, change{-1, unix.IN_Q_OVERFLOW, ""}, change{1, created, "a.state"})
	check(a[:len(a)-1], change{})
	check(a[:10], change{})
	check(event(2, changed, strings.Repeat("x", 255)), change{2, changed, strings.Repeat("x", 255)})
}

// TestExhaustedInotify: without inotify, or without watches for a directory, the watch looks at the
// roots once per minute, logs advice once, and retries inotify at the same interval.
func TestExhaustedInotify(t *testing.T) {
	check := func(name string, openErr, addErr error, wantOpens, wantAdds int, wantLog string) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log testkit.Buffer
				opens, adds, looks := 0, 0, 0
				w := newWatch([]string{"/"}, func() []string { return nil }, nil, func() { looks++ }, slog.New(slog.NewTextHandler(&log, nil)), guard.New(clock.Real))
				w.open = func() (*notifier, error) {
					opens++
					add := func(string, uint32) (int, error) {
						adds++
						return 1, addErr
					}
					return &notifier{add: add, close: func() {}}, openErr
				}
				ctx, cancel := context.WithTimeout(t.Context(), 3*rescan+time.Second)
				defer cancel()
				w.run(ctx)
				if looks != 4 || opens != wantOpens || adds != wantAdds {
					t.Errorf("%d looks, inotify was opened %d times and asked for %d watches; want 4, %d and %d", looks, opens, adds, wantOpens, wantAdds)
				}
				if got := log.String(); strings.Count(got, "\n") != min(1, len(wantLog)) || !strings.Contains(got, wantLog) {
					t.Errorf("the log is\n%s", got)
				}
			})
		})
	}
	check("instances", unix.EMFILE, nil, 4, 0, "max_user_instances")
	check("watches", nil, unix.ENOSPC, 1, 4, "max_user_watches")
	check("permission", nil, unix.EACCES, 1, 4, "")
}
