package metricserver

import (
	"context"
	"maps"
	"slices"
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

// watch calls look soon after something changed in one of the directories, and once in a while in any case, until ctx is done. It is a hint
// only: what is served never depends on it. The directories are asked for again after each look, since that may find others.
func watch(ctx context.Context, dirs func() []string, look func()) error {
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
	missing := make(map[string]bool) // directories that do not exist
	var retrying <-chan time.Time    // nil while there are none
	for {
		current := dirs()
		for _, dir := range current {
			// One that was removed and made again is another directory, which is not watched yet.
			failed := watcher.Add(dir) != nil
			if missing[dir] && !failed {
				changed()
			}
			missing[dir] = failed
		}
		maps.DeleteFunc(missing, func(dir string, failed bool) bool { return !failed || !slices.Contains(current, dir) })
		if len(missing) == 0 {
			retrying = nil
		} else if retrying == nil {
			retrying = time.After(retry)
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
		case <-retrying:
			retrying = nil
		}
	}
}
