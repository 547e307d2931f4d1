package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sandmeter/sandmeter/config"
)

// usualRoots has globs for the default runtime roots of runsc, containerd and Docker.
var usualRoots = []string{"/var/run/runsc", "/run/runsc", "/run/containerd/runsc/*", "/var/run/docker/runtime-*/*"}

// suggestRoots lists the usual runtime roots that exist if err says that the default one does not.
func suggestRoots(err error) string {
	path, ok := errors.AsType[*fs.PathError](err)
	if !ok || path.Path != config.DefaultRootDir() || !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	existing := existingRoots(usualRoots)
	if len(existing) == 0 {
		return ""
	}
	return "; existing runtime roots: " + strings.Join(existing, ", ")
}

// existingRoots returns the directories that globs match, each by its first name.
func existingRoots(globs []string) []string {
	var roots []string
	var known []os.FileInfo
	for _, glob := range globs {
		matches, _ := filepath.Glob(glob) // fails only for invalid globs
		for _, m := range matches {
			info, err := os.Stat(m)
			if err != nil || !info.IsDir() || slices.ContainsFunc(known, func(k os.FileInfo) bool { return os.SameFile(k, info) }) {
				continue
			}
			known, roots = append(known, info), append(roots, m)
		}
	}
	return roots
}
