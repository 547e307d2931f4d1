package metricserver

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/guard"
	"github.com/sandmeter/sandmeter/internal/roots"
)

const (
	// settle is the delay between a change and the call of look, to combine changes: runsc writes a
	// state file several times at each start.
	settle = 200 * time.Millisecond
	// rescan is the interval between looks at the roots without a reported change: inotify can lose
	// events or be exhausted.
	rescan = time.Minute
)

// maxWatched limits how many directories are watched. The kernel permits 8192 or more per user, and
// each takes about 1 KB of its memory.
const maxWatched = 4096

// A watch calls arrive at once for each file that is created or changed in a runtime root, and look
// soon after a change, and at least once per rescan. It is only a hint: the served data never depends
// on it. All methods, and served and arrive, run in one goroutine. look has one of its own, because
// it waits for the collection under way.
//
// It also watches the directories that lead to the roots, because roots can appear in them. A sandbox
// and its root may be created together and disappear within a second. So when a directory appears,
// the files that are already in it count as created, too.
type watch struct {
	configured []string        // runtime roots: directories and globs
	ways       roots.Ways      // to the configured roots
	served     func() []string // returns the roots that are served, which are watched first
	arrive     func(root, name string, created bool)
	look       func()
	logger     *slog.Logger
	guard      *guard.Guard // for calls that touch the directories
	open       func() (*notifier, error)
	most       int // the constant maxWatched, or less in tests

	overflows atomic.Int64           // times that events were lost because there were too many
	exhausted atomic.Pointer[string] // the inotify error that was logged
	due       chan struct{}          // tells the goroutine that looks

	notifier *notifier           // nil: inotify is not available
	watched  map[string]*watched // by clean path
	paths    map[int][]string    // by watch descriptor, because a directory can have several paths
	round    uint                // number of surveys
	full     bool                // the log says that there are too many directories
}

// watched is a path of a directory that is watched.
type watched struct {
	wd     int
	isRoot bool
	round  uint // the last survey that found it
}

func newWatch(configured []string, served func() []string, arrive func(root, name string, created bool), look func(), logger *slog.Logger, g *guard.Guard) *watch {
	return &watch{configured: configured, ways: roots.NewWays(configured), served: served, arrive: arrive, look: look, logger: logger, guard: g, open: openInotify, most: maxWatched,
		due: make(chan struct{}, 1), watched: make(map[string]*watched), paths: make(map[int][]string)}
}

// run watches until ctx is done.
func (w *watch) run(ctx context.Context) {
	defer w.close()
	var looking sync.WaitGroup
	defer looking.Wait()
	defer close(w.due)
	looking.Go(func() {
		for range w.due {
			w.look()
		}
	})
	again := time.NewTicker(rescan)
	defer again.Stop()
	w.survey()
	settled := time.After(0) // nil: no change is pending; the start counts as a change
	for {
		select {
		case <-ctx.Done():
			return
		case c, ok := <-w.changes():
			if !ok {
				w.close()
			}
			if w.handle(c) && settled == nil {
				settled = time.After(settle)
			}
		case <-settled:
			settled = nil
			w.lookSoon()
		case <-again.C:
			w.lookSoon()
			w.survey()
		}
	}
}

// lookSoon has the roots looked at, once for all calls while a look is under way.
func (w *watch) lookSoon() {
	select {
	case w.due <- struct{}{}:
	default:
	}
}

func (w *watch) close() {
	if w.notifier == nil {
		return
	}
	w.notifier.close()
	w.notifier = nil
	clear(w.watched)
	clear(w.paths)
}

// changes returns the channel of changes, or nil without inotify.
func (w *watch) changes() <-chan change {
	if w.notifier == nil {
		return nil
	}
	return w.notifier.changes
}

// survey watches all directories, starting with the roots that are served. It adds even those that are
// watched already, because a directory can be replaced without an event. It stops watching those that
// no longer lead to a root.
func (w *watch) survey() {
	if w.notifier == nil {
		n, err := w.open()
		if err != nil {
			w.logExhausted(err)
			return
		}
		w.notifier = n
	}
	w.round++
	served := w.served()
	w.makeRoom(served)
	for _, dir := range served {
		w.enter(filepath.Clean(dir), false)
	}
	for _, root := range w.configured {
		w.enter(filepath.Clean(roots.FixedDir(root)), false)
	}
	for dir, d := range w.watched {
		if d.round != w.round {
			w.leave(dir)
		}
	}
}

// makeRoom stops watching roots that are not served, if there were too many directories.
func (w *watch) makeRoom(served []string) {
	if !w.full {
		return
	}
	w.full = len(w.watched) >= w.most
	for dir, d := range w.watched {
		if d.isRoot && !slices.Contains(served, dir) {
			w.leave(dir)
		}
	}
}

// enter watches a directory and the directories in it that lead to runtime roots. If all of these exist
// and nothing else in it matters, it watches only these. If the directory does not exist, it watches
// the one above. appeared means that the directory is new, and so are the files in it, which may have
// been created before the watch.
func (w *watch) enter(dir string, appeared bool) {
	if w.isCurrent(dir) && !appeared {
		return // it is on the way to several roots
	}
	way := w.ways.Of(dir)
	if !way.IsRoot && !way.Globs && w.enterNames(dir, way.Names, appeared) {
		return // their own watches report when they disappear
	}
	err := w.add(dir, way.IsRoot)
	if above := filepath.Dir(dir); errors.Is(err, fs.ErrNotExist) && above != dir {
		if !w.isCurrent(above) {
			w.enter(above, appeared)
		}
		return
	}
	if err != nil && !errors.Is(err, unix.ENOSPC) {
		return // it is not a directory, or not readable; at the limit on watches, the names are still of use
	}
	names := way.Names
	if way.Globs || way.IsRoot && appeared {
		var found []string
		if w.guard.Do(dir, touchLimit, func() { found = namesIn(dir) }) {
			names = append(names, found...)
		}
	}
	if way.IsRoot && appeared {
		for _, name := range names {
			w.arrive(dir, name, true)
		}
	}
	w.enterNames(dir, names, appeared)
}

// enterNames enters the names in a directory that lead to runtime roots, and reports whether all do.
func (w *watch) enterNames(dir string, names []string, appeared bool) (all bool) {
	all = true
	for _, name := range names {
		all = w.enterNew(filepath.Join(dir, name), appeared) && all
	}
	return all
}

// isCurrent reports whether a directory is watched, as of the last survey or later.
func (w *watch) isCurrent(dir string) bool {
	d := w.watched[dir]
	return d != nil && d.round == w.round
}

// enterNew enters a path if it is a directory that leads to runtime roots, and reports whether it is.
func (w *watch) enterNew(path string, appeared bool) bool {
	if way := w.ways.Of(path); !way.Leads() {
		return false
	}
	isDir := false
	if !w.guard.Do(path, touchLimit, func() { info, err := os.Stat(path); isDir = err == nil && info.IsDir() }) || !isDir {
		return false
	}
	w.enter(path, appeared)
	return true
}

// touchLimit is how long a call that touches a directory may take. What one that hangs returns is not used.
const touchLimit = 250 * time.Millisecond

// namesIn returns the names in a directory, as far as they can be read.
func namesIn(dir string) []string {
	f, err := os.OpenFile(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0) // opening a FIFO would wait for its writer
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	return names
}

// add watches a directory, unless there are too many.
func (w *watch) add(dir string, isRoot bool) error {
	if w.watched[dir] == nil && len(w.watched) >= w.most {
		w.logFull()
		return nil
	}
	mask := uint32(maskAbove)
	if isRoot {
		mask = maskRoot
	}
	var wd int
	var err error
	notifier := w.notifier
	if !w.guard.Do(dir, touchLimit, func() { wd, err = notifier.add(dir, mask) }) {
		return errHung
	}
	if err != nil {
		w.logExhausted(err)
		return err
	}
	if d := w.watched[dir]; d != nil && d.wd != wd {
		w.leave(dir) // it was replaced by another directory
	}
	if w.watched[dir] == nil {
		w.paths[wd] = append(w.paths[wd], dir)
	}
	w.watched[dir] = &watched{wd, isRoot, w.round}
	return nil
}

var errHung = errors.New("the directory does not answer")

// leave stops watching a directory under one of its paths.
func (w *watch) leave(dir string) {
	d := w.watched[dir]
	delete(w.watched, dir)
	w.paths[d.wd] = slices.DeleteFunc(w.paths[d.wd], func(path string) bool { return path == dir })
	if len(w.paths[d.wd]) == 0 {
		delete(w.paths, d.wd)
		w.notifier.remove(d.wd)
	}
}

// leaveAll stops watching a directory that is gone and the directories below it. Then it enters the path
// again, because the directory may have been replaced. It reports whether the path leads to runtime
// roots.
func (w *watch) leaveAll(gone string) bool {
	if way := w.ways.Of(gone); !way.Leads() {
		return false
	}
	for dir := range w.watched {
		if dir == gone || strings.HasPrefix(dir, gone+"/") {
			w.leave(dir)
		}
	}
	w.enter(gone, true)
	return true
}

// handle handles a change, and reports whether it may have changed the runtime roots.
func (w *watch) handle(c change) (relevant bool) {
	if c.mask&unix.IN_Q_OVERFLOW != 0 {
		w.overflows.Add(1)
		w.survey()
		return true
	}
	for _, dir := range slices.Clone(w.paths[c.wd]) {
		if c.mask&ends != 0 && w.leaveAll(dir) || c.mask&ends == 0 && w.handleIn(dir, c) {
			relevant = true
		}
	}
	return relevant
}

// handleIn handles a change in a directory.
func (w *watch) handleIn(dir string, c change) (relevant bool) {
	created := c.mask&appearances != 0
	path := filepath.Join(dir, c.name)
	switch {
	case created:
		relevant = w.enterNew(path, true)
	case c.mask&disappearances != 0:
		relevant = w.leaveAll(path)
	}
	if d := w.watched[dir]; d == nil || !d.isRoot {
		return relevant
	}
	if created || c.mask&unix.IN_MODIFY != 0 {
		w.arrive(dir, c.name, created)
	}
	return true
}

// logExhausted logs once that changes cannot be watched. Collections log missing and unreadable
// directories.
func (w *watch) logExhausted(err error) {
	var limit string
	switch {
	case errors.Is(err, unix.ENOSPC):
		limit = "fs.inotify.max_user_watches"
	case errors.Is(err, unix.EMFILE):
		limit = "fs.inotify.max_user_instances"
	default:
		return
	}
	text := limit + " reached: " + err.Error()
	if w.exhausted.Swap(&text) != nil {
		return
	}
	w.logger.Warn("inotify limit reached; until it is raised, new and ended sandboxes are detected only by scrapes and a scan every minute",
		"sysctl", limit, "err", err)
}

// logFull logs once that there are too many directories.
func (w *watch) logFull() {
	if w.full {
		return
	}
	w.full = true
	w.logger.Warn("Too many directories to watch; new and ended sandboxes in the others are detected only by scrapes and a scan every minute", "limit", w.most)
}
