package roots

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Way describes how a path relates to the configured runtime roots, whether it exists or not.
type Way struct {
	IsRoot bool     // it is a root, or a glob matches it
	Names  []string // of directories in it that are roots or lead to roots
	Globs  bool     // directories with other names in it can be roots or lead to roots, too
}

// Leads reports whether the path is a root, or above a possible root.
func (w *Way) Leads() bool { return w.IsRoot || w.Globs || len(w.Names) > 0 }

// Ways are the configured runtime roots.
type Ways []pattern

// A pattern is a configured runtime root.
type pattern struct {
	parts []string
	glob  bool
}

// NewWays returns the Ways for configured runtime roots: directories and globs.
func NewWays(configured []string) Ways {
	var ways Ways
	for _, root := range configured {
		ways = append(ways, newPattern(root))
	}
	return ways
}

func newPattern(root string) pattern { return pattern{partsOf(root), IsGlob(root)} }

// Of returns the Way of a path.
func (w Ways) Of(path string) Way {
	var way Way
	parts := partsOf(path)
	for i := range w {
		p := &w[i]
		if !p.begins(parts) {
			continue
		}
		if len(parts) == len(p.parts) {
			way.IsRoot = true
			continue
		}
		switch next := p.parts[len(parts)]; {
		case IsGlob(next):
			way.Globs = true
		case !slices.Contains(way.Names, next):
			way.Names = append(way.Names, next)
		}
	}
	return way
}

// Matches reports whether a glob among the roots matches the path.
func (w Ways) Matches(path string) bool {
	parts := partsOf(path)
	for i := range w {
		if p := &w[i]; p.glob && len(parts) == len(p.parts) && p.begins(parts) {
			return true
		}
	}
	return false
}

// begins reports whether the pattern begins with parts that match a path's parts.
func (p *pattern) begins(parts []string) bool {
	switch {
	case len(parts) > len(p.parts):
		return false
	case len(parts) == 0 && len(p.parts) > 0 && p.parts[0] == "":
		return false // the path is relative, and the pattern is not
	}
	for i, part := range parts {
		matched := p.parts[i] == part
		if p.glob && !matched {
			matched, _ = filepath.Match(p.parts[i], part) // the pattern was checked with the configuration
		}
		if !matched {
			return false
		}
	}
	return true
}

// matching returns the paths that the pattern matches, sorted. If its last part is not a glob, the paths
// may not exist. filepath.Glob would list every directory that may have the last part.
func (p pattern) matching() []string {
	if p.parts[0] == "" {
		return walk("/", p.parts[1:])
	}
	return walk(".", p.parts)
}

// walk returns the paths in a directory that match the rest of a pattern.
func walk(dir string, rest []string) (paths []string) {
	if len(rest) == 0 {
		return []string{dir}
	}
	if !IsGlob(rest[0]) {
		return walk(filepath.Join(dir, rest[0]), rest[1:])
	}
	entries, _ := os.ReadDir(dir) // sorted
	for _, e := range entries {
		if matched, _ := filepath.Match(rest[0], e.Name()); matched { // the pattern was checked with the configuration
			paths = append(paths, walk(filepath.Join(dir, e.Name()), rest[1:])...)
		}
	}
	return paths
}

// partsOf returns the parts of a path. That of the working directory has none.
func partsOf(path string) []string {
	switch path = filepath.Clean(path); path {
	case ".":
		return nil
	case "/":
		return []string{""}
	}
	return strings.Split(path, "/")
}
