package collect

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/state"
)

const (
	// MaxRoots limits how many runtime roots are served at a time. Directories that a glob matches
	// and that have no state files take no place of others.
	MaxRoots = 500
	// maxEmpty limits how many of these are served. Clients can name them, for example to register
	// a sandbox that is about to start. The others are only watched.
	maxEmpty = 64
)

// roots are the configured runtime roots: directories, and globs that match directories.
type roots []string

// IsGlob reports whether a configured root is a glob. A directory name with the characters of globs
// counts as a glob.
func IsGlob(root string) bool { return strings.ContainsAny(root, `*?[`) }

// single reports whether exactly one directory is configured. Then series have no label
// runtime_root, and an unreadable root is an error.
func (r roots) single() bool { return len(r) == 1 && !IsGlob(r[0]) }

// A place is a directory that can be served.
type place struct {
	path    string
	aliases []string // other names that are configured, or that a glob matches
	id      dirID
	rank    rank
}

// exists reports whether the directory is still there.
func (p *place) exists() bool {
	id, _ := identifyDir(p.path)
	return id == p.id
}

// A rank orders directories when there are more than MaxRoots: those of greater rank are served.
type rank int

const (
	empty    rank = iota // matched by a glob, without state files
	occupied             // matched by a glob, with state files, or not readable
	held                 // matched by a glob, with sandboxes that are served already
	named                // configured by name, even if it does not exist
)

// expand returns the directories to serve now, in the order of the configuration, and those that are
// left out because of MaxRoots. holds tells which directories have sandboxes that are served already.
func (r roots) expand(holds func(path string) bool, probe *state.Probe) (served []place, leftOut []string) {
	if r.single() {
		return []place{{path: r[0], rank: named}}, nil
	}
	all := r.find(holds, probe)
	room, fits := MaxRoots, make([]bool, len(all))
	for now := named; now >= empty; now-- {
		if now == empty {
			room = min(room, maxEmpty)
		}
		for i := range all {
			switch {
			case all[i].rank != now:
			case room > 0:
				room--
				fits[i] = true
			case now > empty:
				leftOut = append(leftOut, all[i].path)
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

// find returns the directories that are configured, and those that globs match. A directory with
// several names (links) is returned once, by its first name.
func (r roots) find(holds func(path string) bool, probe *state.Probe) (found []place) {
	byID := make(map[dirID]int)
	add := func(path string, required bool) {
		id, st := identifyDir(path)
		if !required && !id.isDir() {
			return
		}
		i, known := byID[id]
		if !known {
			i, byID[id] = len(found), len(found)
			found = append(found, place{path: path, id: id})
		}
		p := &found[i]
		if p.path != path {
			p.aliases = append(p.aliases, path)
		}
		switch {
		case required:
			p.rank = named
		case holds(path):
			p.rank = max(p.rank, held)
		case !known && probe.HasFiles(path, st):
			p.rank = occupied
		}
	}
	probe.Next()
	for _, root := range r {
		if !IsGlob(root) {
			add(root, true)
			continue
		}
		before := len(found)
		for path := range newPattern(root).matching() {
			add(path, false)
		}
		// Errors are ignored, so without permission to list the directory there would be no sandboxes
		// and no reason. As a root that is not readable, it is on the page and in the log.
		if dir := FixedDir(root); len(found) == before && unlistable(dir) {
			add(dir, true)
		}
	}
	return found
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

// dirID identifies a directory, independent of its name. One that does not exist is identified by
// the nearest directory above it that does, and by the rest of its path.
type dirID struct {
	dev, ino uint64
	rest     string // empty: the directory exists; notDir: it is not a directory
}

// notDir cannot be the rest of a path.
const notDir = "/"

func (id dirID) isDir() bool { return id.rest == "" }

// identifyDir returns the ID of a directory, and the status of the file that the ID refers to.
func identifyDir(path string) (dirID, *unix.Stat_t) {
	st, rest := new(unix.Stat_t), ""
	for dir := filepath.Clean(path); ; dir = filepath.Dir(dir) {
		if err := unix.Stat(dir, st); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			return dirID{rest: filepath.Clean(path)}, st
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
	if rest == "" && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rest = notDir
	}
	return dirID{st.Dev, st.Ino, rest}, st
}

// HasSandboxes reports whether a directory has state files of sandboxes. A directory that cannot be
// read may have some.
func HasSandboxes(dir string) bool { return state.NewProbe().HasFiles(dir, new(unix.Stat_t)) }
