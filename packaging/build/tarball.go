package main

import (
	"os"
	"path"
	"slices"
	"strings"

	"github.com/sandmeter/sandmeter/packaging/archive"
)

// onlyPackages are the staged directories that tarballs do not have.
var onlyPackages = []string{"compressed", "deb"}

// tarball writes the staged files below a directory of the given name.
func (r release) tarball(out, name, stage string) error {
	files, err := archive.ReadDir(stage)
	if err != nil {
		return err
	}
	files = slices.DeleteFunc(files, func(f archive.File) bool {
		dir, _, below := strings.Cut(f.Name, "/")
		return below && slices.Contains(onlyPackages, dir)
	})
	for i := range files {
		files[i].Name = path.Join(name, files[i].Name)
	}
	data, err := archive.Tar(r.date, files)
	if err != nil {
		return err
	}
	if data, err = archive.Gzip(data); err != nil {
		return err
	}
	return os.WriteFile(out, data, 0o644)
}
