package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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
	var existing []string
	for _, glob := range usualRoots {
		matches, _ := filepath.Glob(glob) // fails only for invalid globs
		for _, m := range matches {
			if info, err := os.Stat(m); err == nil && info.IsDir() {
				existing = append(existing, m)
			}
		}
	}
	if len(existing) == 0 {
		return ""
	}
	return "; existing runtime roots: " + strings.Join(existing, ", ")
}
