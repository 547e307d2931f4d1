package main

import (
	"archive/tar"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// onlyPackages are the staged directories that tarballs do not have.
var onlyPackages = map[string]bool{"compressed": true, "deb": true}

// writeTarball writes the staged files below a directory of the given name. All belong to root.
func writeTarball(path, name, stage string, date time.Time) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	compressed, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		return err
	}
	w := tar.NewWriter(compressed)
	err = filepath.WalkDir(stage, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(stage, path)
		if err != nil {
			return err
		}
		if onlyPackages[below] {
			return fs.SkipDir
		}
		return appendTar(w, filepath.Join(name, below), path, d, date)
	})
	if err != nil {
		return err
	}
	for _, closer := range []io.Closer{w, compressed, f} {
		if err := closer.Close(); err != nil {
			return err
		}
	}
	return nil
}

// appendTar adds one file or directory.
func appendTar(w *tar.Writer, name, path string, d fs.DirEntry, date time.Time) error {
	if d.IsDir() {
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: date, Format: tar.FormatPAX})
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	header := tar.Header{Typeflag: tar.TypeReg, Name: name, Size: info.Size(), Mode: int64(info.Mode().Perm()), ModTime: date, Format: tar.FormatPAX}
	if err := w.WriteHeader(&header); err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}
