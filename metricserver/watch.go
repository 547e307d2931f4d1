package metricserver

import (
	"context"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long a change is waited on for others to come with it: runsc writes a state file several times at each start.
	settle = 200 * time.Millisecond
	// rescan is how often the root is looked at when nothing tells that it changed: inotify may lose events, and the root may not exist
	// yet.
	rescan = time.Minute
	// retry is how often a root that does not exist is looked for.
	retry = time.Second
)

// watch calls look soon after something changed in the directory, and once in a while in any case, until ctx is done. It is a hint only:
// what is served never depends on it.
func watch(ctx context.Context, dir string, look func()) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer watcher.Close()
	again := time.NewTicker(rescan)
	defer again.Stop()
	settled := time.After(0) // nil while nothing has changed; what is there at the start is news
	changed := func() {
		if settled == nil {
			settled = time.After(settle)
		}
	}
	var missing <-chan time.Time // nil while the directory is there
	for {
		// One that was removed and made again is another directory, which is not watched yet.
		switch err := watcher.Add(dir); {
		case err != nil && missing == nil:
			missing = time.After(retry)
		case err == nil && missing != nil:
			missing = nil
			changed()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-watcher.Events:
			changed()
		case <-watcher.Errors: // an overflow
			changed()
		case <-settled:
			settled = nil
			look()
		case <-again.C:
			look()
		case <-missing:
			missing = time.After(retry)
		}
	}
}
