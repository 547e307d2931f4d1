package metricserver

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

const (
	// settle is the delay between a change and the call of look, to combine changes: runsc writes a
	// state file several times at each start.
	settle = 200 * time.Millisecond
	// rescan is the interval between looks at the roots without a reported change: inotify can lose
	// events or be exhausted.
	rescan = time.Minute
	// retry is the interval between attempts to watch a root that does not exist.
	retry = time.Second
)

// A watch calls arrive at once for each file that is created or changed in one of the directories,
// and look soon after a change, and at least once per rescan. It is only a hint: the served data
// never depends on it. All methods, and dirs and arrive, run in one goroutine. look has one of its
// own, because it waits for the collection under way.
type watch struct {
	dirs   func() []string // called again after each event: the directories can change
	arrive func(dir, name string, created bool)
	look   func()
	logger *slog.Logger
	open   func() (*notifier, error)

	overflows atomic.Int64  // times that events were lost because there were too many
	due       chan struct{} // tells the goroutine that looks

	notifier *notifier        // nil: inotify is not available
	failed   map[string]error // errors by directory, for directories that are not watched
	logged   error            // the inotify error that was logged
}

func newWatch(dirs func() []string, arrive func(dir, name string, created bool), look func(), logger *slog.Logger) *watch {
	return &watch{dirs: dirs, arrive: arrive, look: look, logger: logger, open: openInotify, due: make(chan struct{}, 1), failed: make(map[string]error)}
}

// A notifier reports changes in directories.
type notifier struct {
	events <-chan fsnotify.Event
	errors <-chan error // overflows of the event queue
	add    func(dir string) error
	close  func() error
}

func openInotify() (*notifier, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	return &notifier{w.Events, w.Errors, w.Add, w.Close}, nil
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
	w.openNotifier()
	settled := time.After(0) // nil: no change is pending; the start counts as a change
	changed := func() {
		if settled == nil {
			settled = time.After(settle)
		}
	}
	for all := true; ; {
		if w.addDirs(all) {
			changed()
		}
		all = false
		events, overflows := w.channels()
		select {
		case <-ctx.Done():
			return
		case event := <-events:
			if created := event.Has(fsnotify.Create); created || event.Has(fsnotify.Write) {
				w.arrive(filepath.Dir(event.Name), filepath.Base(event.Name), created)
			}
			changed()
		case err := <-overflows:
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				w.overflows.Add(1)
			}
			changed()
		case <-settled:
			settled = nil
			w.lookSoon()
		case <-again.C:
			w.lookSoon()
			w.openNotifier()
			all = true
		case <-w.retry():
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

// openNotifier opens inotify if it is not open.
func (w *watch) openNotifier() {
	if w.notifier != nil {
		return
	}
	n, err := w.open()
	if err != nil {
		w.logExhausted(err)
		return
	}
	w.notifier = n
}

func (w *watch) close() {
	if w.notifier != nil {
		_ = w.notifier.close()
	}
}

// channels returns the channels for events and overflows, or nil without inotify.
func (w *watch) channels() (<-chan fsnotify.Event, <-chan error) {
	if w.notifier == nil {
		return nil, nil
	}
	return w.notifier.events, w.notifier.errors
}

// addDirs watches all directories. It skips directories that failed before for a reason other than
// that they are missing, unless all is set. It reports whether a directory that failed before is
// watched again, since it may have changed in the meantime. A directory that was removed and
// created again needs a new watch, so addDirs adds every directory each time.
func (w *watch) addDirs(all bool) (back bool) {
	if w.notifier == nil {
		return false
	}
	current := w.dirs()
	for _, dir := range current {
		before := w.failed[dir]
		if before != nil && !all && !errors.Is(before, fs.ErrNotExist) {
			continue
		}
		switch err := w.notifier.add(dir); {
		case err == nil:
			back = back || before != nil
			delete(w.failed, dir)
		default:
			w.failed[dir] = err
			w.logExhausted(err)
		}
	}
	maps.DeleteFunc(w.failed, func(dir string, _ error) bool { return !slices.Contains(current, dir) })
	return back
}

// retry returns a channel that fires when it is time to look for missing directories, or nil if
// none are missing.
func (w *watch) retry() <-chan time.Time {
	for _, err := range w.failed {
		if errors.Is(err, fs.ErrNotExist) {
			return time.After(retry)
		}
	}
	return nil
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
	if w.logged != nil {
		return
	}
	w.logged = err
	w.logger.Warn("inotify is exhausted: until a scrape, new and ended sandboxes are noticed once per minute only. Raise the kernel's limit",
		"sysctl", limit, "err", err)
}
