package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sandmeter/sandmeter/config"
)

// usualRoots are globs of where runsc, containerd and Docker have runtime roots by default.
var usualRoots = []string{"/var/run/runsc", "/run/containerd/runsc/*", "/var/run/docker/runtime-runc/*"}

// suggestRoots names the runtime roots that exist, where err is that the default one does not.
func suggestRoots(err error) string {
	path, ok := errors.AsType[*fs.PathError](err)
	if !ok || path.Path != config.DefaultRootDir() || !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	existing := existingRoots(usualRoots)
	if len(existing) == 0 {
		return ""
	}
	return "; these exist: " + strings.Join(existing, ", ")
}

// existingRoots returns the directories that globs match.
func existingRoots(globs []string) []string {
	var roots []string
	for _, glob := range globs {
		matches, _ := filepath.Glob(glob) // fails for globs that are wrong
		for _, m := range matches {
			if info, err := os.Stat(m); err == nil && info.IsDir() {
				roots = append(roots, m)
			}
		}
	}
	return roots
}
