package collect

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// maxRoots limits how many runtime roots are served, as a safeguard against globs that match too
// much.
const maxRoots = 64

// roots are the configured runtime roots: directories, and globs that match directories.
type roots []string

// IsGlob reports whether a configured root is a glob. A directory name with the characters of globs
// counts as a glob.
func IsGlob(root string) bool { return strings.ContainsAny(root, `*?[`) }

// single reports whether exactly one directory is configured. Then series have no label
// runtime_root, and an unreadable root is an error.
func (r roots) single() bool { return len(r) == 1 && !IsGlob(r[0]) }

// expand returns the directories to serve now, in the order of the configuration, and how many were
// left out because of maxRoots. A directory with several names (links) is returned once, by its
// first name. A directory that is configured by name is returned even if it does not exist.
func (r roots) expand() (paths []string, leftOut int) {
	if r.single() {
		return r, 0
	}
	seen := make(map[dirID]bool)
	add := func(path string, required bool) {
		id, isDir := identifyDir(path)
		switch {
		case id != dirID{} && seen[id], !required && !isDir, slices.Contains(paths, path):
		case len(paths) == maxRoots:
			leftOut++
		default:
			seen[id] = true
			paths = append(paths, path)
		}
	}
	for _, root := range r {
		if !IsGlob(root) {
			add(root, true)
			continue
		}
		matches, _ := filepath.Glob(root) // sorted; the pattern was checked with the configuration
		for _, path := range matches {
			add(path, false)
		}
		// Glob ignores errors, so without permission to list the directory there would be no sandboxes
		// and no reason. As a root that is not readable, it is on the page and in the log.
		if dir := FixedDir(root); len(matches) == 0 && unlistable(dir) {
			add(dir, true)
		}
	}
	return paths, leftOut
}

// FixedDir returns the directory in which a glob begins to match.
func FixedDir(glob string) string {
	for IsGlob(glob) {
		glob = filepath.Dir(glob)
	}
	return glob
}

// unlistable reports whether a directory exists that cannot be listed.
func unlistable(dir string) bool {
	f, err := os.Open(dir)
	if err == nil {
		f.Close()
	}
	return err != nil && !errors.Is(err, fs.ErrNotExist)
}

// dirID identifies a directory, independent of its name.
type dirID struct{ dev, ino uint64 }

// identifyDir returns the ID of a directory. It is zero if the path does not exist.
func identifyDir(path string) (id dirID, isDir bool) {
	info, err := os.Stat(path)
	if err != nil {
		return dirID{}, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return dirID{}, false
	}
	return dirID{st.Dev, st.Ino}, info.IsDir()
}
