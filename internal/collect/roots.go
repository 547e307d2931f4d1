package collect

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// maxRoots bounds how many runtime roots are served, so that a glob that matches too much is noticed.
const maxRoots = 64

// roots are the runtime roots as they are configured: directories, and globs that stand for directories.
type roots []string

// IsGlob reports whether a root stands for all directories that match it. A file name that has such characters is taken for a glob.
func IsGlob(root string) bool { return strings.ContainsAny(root, `*?[`) }

// single reports whether there is one root and no more, ever. Then there is no label for it, and that it cannot be read is an error.
func (r roots) single() bool { return len(r) == 1 && !IsGlob(r[0]) }

// expand returns the directories that are served at this moment, in the order of the configuration, and how many were left out because there
// are too many. Each directory is there once, whatever the links to it, under its first name. One that is configured by its name
// is there even if it does not exist.
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
		matches, _ := filepath.Glob(root) // sorted; that the pattern is valid was checked
		for _, path := range matches {
			add(path, false)
		}
	}
	return paths, leftOut
}

// dirID is what tells directories apart, whatever their names.
type dirID struct{ dev, ino uint64 }

// identifyDir returns the ID of a directory, which is zero if there is nothing at the path.
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
