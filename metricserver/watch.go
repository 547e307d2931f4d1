package metricserver

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

const (
	// settle is how long a change is waited on for others to come with it: runsc writes a state file several times at each start.
	settle = 200 * time.Millisecond
	// rescan is how often the roots are looked at when nothing tells that they changed: inotify may lose events, or be exhausted.
	rescan = time.Minute
	// retry is how often a root that does not exist is looked for.
	retry = time.Second
)

// A watch calls look soon after something changed in one of the directories, and once per rescan in any case. It is a hint only: what is
// served never depends on it. Its methods are for one goroutine, which also calls dirs and look.
type watch struct {
	dirs   func() []string // asked for again after each look, since that may find others
	look   func()
	logger *slog.Logger
	open   func() (*notifier, error)

	notifier *notifier        // nil: inotify is not available
	failed   map[string]error // why directories are not watched
	logged   error            // what the log has of inotify
}

func newWatch(dirs func() []string, look func(), logger *slog.Logger) *watch {
	return &watch{dirs: dirs, look: look, logger: logger, open: openInotify, failed: make(map[string]error)}
}

// A notifier tells of changes in directories.
type notifier struct {
	events <-chan fsnotify.Event
	errors <-chan error // an overflow
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
	again := time.NewTicker(rescan)
	defer again.Stop()
	w.openNotifier()
	settled := time.After(0) // nil while nothing has changed; what is there at the start is news
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
		case <-events:
			changed()
		case <-overflows:
			changed()
		case <-settled:
			settled = nil
			w.look()
		case <-again.C:
			w.look()
			w.openNotifier()
			all = true
		case <-w.retry():
		}
	}
}

// openNotifier makes inotify available unless it is.
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

// channels returns where changes are told; nil where none are.
func (w *watch) channels() (<-chan fsnotify.Event, <-chan error) {
	if w.notifier == nil {
		return nil, nil
	}
	return w.notifier.events, w.notifier.errors
}

// addDirs watches all directories, those that failed before for another reason than that they are missing only if all is set. It reports whether
// one of them can be watched again: it may have changed in between. A directory that was removed and made again is another one, so that each is
// added every time.
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

// retry returns when missing directories are to be looked for: never if there are none.
func (w *watch) retry() <-chan time.Time {
	for _, err := range w.failed {
		if errors.Is(err, fs.ErrNotExist) {
			return time.After(retry)
		}
	}
	return nil
}

// logExhausted logs that changes cannot be watched, once. That a directory is missing or unreadable is for the collections to log.
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
