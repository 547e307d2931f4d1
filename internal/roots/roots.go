package roots

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

// A Rank orders directories when there are more than MaxRoots: those of greater rank are served.
type Rank int

const (
	Empty    Rank = iota // matched by a glob, without state files
	Occupied             // matched by a glob, with state files, or not readable
	Held                 // matched by a glob, with sandboxes that are served already
	Named                // configured by name, even if it does not exist
)

// Expand returns the directories to serve now, in the order of the configuration, and those that are
// left out because of MaxRoots. holds tells which directories have sandboxes that are served already.
func (r List) Expand(holds func(path string) bool, probe *state.Probe) (served []Place, leftOut []string) {
	if r.Single() {
		return []Place{{Path: r[0], Rank: Named}}, nil
	}
	all := r.find(holds, probe)
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

// find returns the directories that are configured, and those that globs match. A directory with
// several names (links) is returned once, by its first name.
func (r List) find(holds func(path string) bool, probe *state.Probe) (found []Place) {
	byID := make(map[DirID]int)
	add := func(path string, required bool) {
		id, st := Identify(path)
		if !required && !id.IsDir() {
			return
		}
		i, known := byID[id]
		if !known {
			i, byID[id] = len(found), len(found)
			found = append(found, Place{Path: path, ID: id})
		}
		p := &found[i]
		if p.Path != path {
			p.Aliases = append(p.Aliases, path)
		}
		switch {
		case required:
			p.Rank = Named
		case holds(path):
			p.Rank = max(p.Rank, Held)
		case !known && probe.HasFiles(path, st):
			p.Rank = Occupied
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

// HasSandboxes reports whether a directory has state files of sandboxes. A directory that cannot be
// read may have some.
func HasSandboxes(dir string) bool { return state.NewProbe().HasFiles(dir, new(unix.Stat_t)) }
