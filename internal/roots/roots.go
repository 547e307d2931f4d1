package roots

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/guard"
	"github.com/sandmeter/sandmeter/internal/state"
)

const (
	// MaxRoots limits how many runtime roots are served at a time. Directories that a glob matches
	// and that have no state files take no place of others.
	MaxRoots = 500
	// MaxEmpty limits how many of these are served. Clients can name them, for example to register
	// a sandbox that is about to start. The others are only watched.
	MaxEmpty = 64
)

// A List has the configured runtime roots: directories, and globs that match directories.
type List []string

// IsGlob reports whether a configured root is a glob. A directory name with the characters of globs
// counts as a glob.
func IsGlob(root string) bool { return strings.ContainsAny(root, `*?[`) }

// Single reports whether exactly one directory is configured. Then series have no label
// runtime_root, and an unreadable root is an error.
func (r List) Single() bool { return len(r) == 1 && !IsGlob(r[0]) }

// A Place is a directory that can be served.
type Place struct {
	Path    string
	Aliases []string // other names that are configured, or that a glob matches
	ID      DirID
	Rank    Rank
}

// Exists reports whether the directory is still there.
func (p *Place) Exists() bool {
	id, _ := Identify(p.Path)
	return id == p.ID
}

// A Rank orders directories when there are more than MaxRoots: the ones of greater rank are served.
type Rank int

const (
	Empty    Rank = iota // matched by a glob, without state files
	Occupied             // matched by a glob, with state files, or not readable
	Held                 // matched by a glob, with sandboxes that are served already
	Named                // configured by name, even if it does not exist
)

// An Expander finds the directories that configured roots stand for, again and again. A directory that
// does not answer is as it was before, and takes nothing from the others. It is not safe for concurrent
// use.
type Expander struct {
	list  List
	guard *guard.Guard
	seen  map[string]sight    // by path, as of the last look that was answered
	found map[string][]string // paths that a glob matches, likewise
}

// NewExpander returns an Expander for configured roots.
func NewExpander(list List, g *guard.Guard) *Expander {
	return &Expander{list: list, guard: g, seen: make(map[string]sight), found: make(map[string][]string)}
}

// lookLimit is how long a look at a directory may take.
const lookLimit = 500 * time.Millisecond

// Expand returns the directories to serve now, in the order of the configuration, and those that are
// left out because of MaxRoots. holds tells which directories have sandboxes that are served already; it
// is called on another goroutine.
func (e *Expander) Expand(holds func(path string) bool) (served []Place, leftOut []string) {
	if e.list.Single() {
		return []Place{{Path: e.list[0], Rank: Named}}, nil
	}
	all := e.places(e.candidates(), holds)
	room, fits := MaxRoots, make([]bool, len(all))
	for now := Named; now >= Empty; now-- {
		if now == Empty {
			room = min(room, MaxEmpty)
		}
		for i := range all {
			switch {
			case all[i].Rank != now:
			case room > 0:
				room--
				fits[i] = true
			case now > Empty:
				leftOut = append(leftOut, all[i].Path)
			}
		}
	}
	for i := range all {
		if fits[i] {
			served = append(served, all[i])
		}
	}
	return served, leftOut
}

// A candidate is a path that may be a runtime root.
type candidate struct {
	path     string
	required bool // served even if it does not exist
}

// candidates returns the paths that are configured, and those that globs match.
func (e *Expander) candidates() (all []candidate) {
	for _, root := range e.list {
		if !IsGlob(root) {
			all = append(all, candidate{root, true})
			continue
		}
		dir, unreadable := FixedDir(root), false
		var paths []string
		if e.guard.Do(dir, lookLimit, func() {
			paths = newPattern(root).matching()
			unreadable = len(paths) == 0 && unlistable(dir)
		}) {
			e.found[root] = paths
		}
		for _, path := range e.found[root] {
			all = append(all, candidate{path, false})
		}
		// Errors are ignored, so without permission to list the directory there would be no sandboxes
		// and no reason. As a root that is not readable, it is on the page and in the log.
		if unreadable {
			all = append(all, candidate{dir, true})
		}
	}
	return all
}

// A sight is the result of a look at a candidate.
type sight struct {
	id       DirID
	stamp    state.Stamp
	occupied bool
	settled  bool // occupied holds as long as the stamp does
}

// look looks at a candidate. It reads a directory only if it has changed since the last sight, so
// thousands of directories without sandboxes cost little.
func look(path string, last sight) sight {
	now := time.Now()
	id, st := Identify(path)
	s := sight{id: id, stamp: state.StampOf(st)}
	if last.settled && last.id == id && last.stamp == s.stamp {
		return last
	}
	if id.IsDir() {
		var err error
		s.occupied, err = state.HasFiles(path)
		s.settled = err == nil && s.stamp.Settled(now)
	}
	return s
}

// places returns the candidates that are directories. A directory with several names (links) is returned
// once, by its first name.
func (e *Expander) places(all []candidate, holds func(path string) bool) (found []Place) {
	paths := make([]string, len(all))
	for i := range all {
		paths[i] = all[i].path
	}
	before := e.seen // a call that hangs may go on later
	sights := guard.Each(e.guard, lookLimit, paths, func(i int, _ guard.Progress) sight {
		if all[i].required || holds(paths[i]) { // whether it has state files does not matter
			id, _ := Identify(paths[i])
			return sight{id: id}
		}
		return look(paths[i], before[paths[i]])
	})
	byID := make(map[DirID]int)
	seen := make(map[string]sight, len(all))
	for i, c := range all {
		now, answered := sights[i]
		if !answered {
			now = e.lastSight(c)
		}
		seen[c.path] = now
		if !c.required && !now.id.IsDir() {
			continue
		}
		at, known := byID[now.id]
		if !known {
			at, byID[now.id] = len(found), len(found)
			found = append(found, Place{Path: c.path, ID: now.id})
		}
		found[at].join(c, now, holds)
	}
	e.seen = seen
	return found
}

// lastSight returns the earlier sight of a directory that does not answer. One that never has is
// identified by its path.
func (e *Expander) lastSight(c candidate) sight {
	if last, known := e.seen[c.path]; known {
		return last
	}
	return sight{id: DirID{rest: notDir + c.path}}
}

// join takes over a name of a place.
func (p *Place) join(c candidate, now sight, holds func(path string) bool) {
	if p.Path != c.path {
		p.Aliases = append(p.Aliases, c.path)
	}
	switch {
	case c.required:
		p.Rank = Named
	case holds(c.path):
		p.Rank = max(p.Rank, Held)
	case now.occupied && p.Rank == Empty && p.Path == c.path:
		p.Rank = Occupied
	}
}

// FixedDir returns the directory in which a glob begins to match. Any other root is returned as it is.
func FixedDir(root string) string {
	for IsGlob(root) {
		root = filepath.Dir(root)
	}
	return root
}

// unlistable reports whether a directory exists that cannot be listed.
func unlistable(dir string) bool {
	f, err := os.OpenFile(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0) // opening a FIFO would wait for its writer
	if err == nil {
		f.Close()
	}
	return err != nil && !errors.Is(err, fs.ErrNotExist)
}

// A DirID identifies a directory, independent of its name. One that does not exist is identified by
// the nearest directory above it that does, and by the rest of its path.
type DirID struct {
	dev, ino uint64
	rest     string // empty: the directory exists; notDir: it is not a directory
}

// notDir cannot be the rest of a path.
const notDir = "/"

func (id DirID) IsDir() bool { return id.rest == "" }

// Identify returns the ID of a directory, and the status of the file that the ID refers to.
func Identify(path string) (DirID, *unix.Stat_t) {
	st, rest := new(unix.Stat_t), ""
	for dir := filepath.Clean(path); ; dir = filepath.Dir(dir) {
		if err := unix.Stat(dir, st); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			return DirID{rest: filepath.Clean(path)}, st
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
	if rest == "" && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rest = notDir
	}
	return DirID{st.Dev, st.Ino, rest}, st
}
