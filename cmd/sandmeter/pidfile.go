package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// maxPIDFile is the maximum number of bytes that are read of a PID file.
const maxPIDFile = 64

// writePIDFile writes the PID file of this process. Readers see it complete or not at all. It
// replaces the PID file of a process that has ended. It leaves the file of a running process, and
// any other file, alone.
func writePIDFile(path string) error {
	err := placePIDFile(path)
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err // the rest is the path again, or the path of a temporary file
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		err = l.Err
	}
	if err != nil {
		return fmt.Errorf("PID file %s: %w", path, err)
	}
	return nil
}

func placePIDFile(path string) error {
	written, err := writeTempPIDFile(path)
	if err != nil {
		return err
	}
	defer os.Remove(written)
	for {
		err = os.Link(written, path) // unlike a rename, a link fails if the file exists
		if errors.Is(err, fs.ErrExist) {
			err = replacePIDFile(written, path)
		}
		if !errors.Is(err, errMoved) {
			return err
		}
	}
}

// writeTempPIDFile writes the ID of this process to a temporary file next to path, and returns its
// path.
func writeTempPIDFile(path string) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", err
	}
	// No newline, as in the PID file of gVisor's own server: some readers expect only digits.
	_, err = f.WriteString(strconv.Itoa(os.Getpid()))
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// errMoved says that another process has replaced or removed the file in the meantime.
var errMoved = errors.New("the file was replaced or removed")

// replacePIDFile renames a file to path if the PID file there belongs to a process that has ended.
// If several processes try, the lock on the old file lets only one succeed.
func replacePIDFile(written, path string) error {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return errMoved
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file: remove it, or choose another path")
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return errMoved
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := checkStale(f); err != nil {
		return err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.New("another process has locked it: stop that process, or choose another path")
	}
	if !isAt(f, path) {
		return errMoved
	}
	return os.Rename(written, path)
}

// checkStale returns nil if a PID file is empty, as after a failed write, or if its process is not
// running.
func checkStale(f io.Reader) error {
	content, err := io.ReadAll(io.LimitReader(f, maxPIDFile))
	if err != nil {
		return err
	}
	text := strings.TrimSpace(string(content))
	if text == "" {
		return nil
	}
	pid, err := strconv.ParseInt(text, 10, 32)
	switch {
	case err != nil || pid <= 0:
		return errors.New("the existing file is not a PID file: remove it, or choose another path")
	case int(pid) != os.Getpid() && isRunning(int(pid)):
		return fmt.Errorf("it belongs to process %d, which is running: stop that process, or choose another path", pid)
	}
	return nil
}

// isAt reports whether an open file is the one at a path.
func isAt(f *os.File, path string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	info, err := os.Lstat(path)
	return err == nil && os.SameFile(opened, info)
}

// isRunning reports whether a process is running. A zombie is not.
func isRunning(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true // other users' processes may be hidden
	}
	afterName := stat[bytes.LastIndexByte(stat, ')')+1:]
	return !bytes.HasPrefix(afterName, []byte(" Z"))
}

// removePIDFile removes the PID file if it still belongs to this process.
func removePIDFile(path string) error {
	content, err := os.ReadFile(path)
	if err != nil || string(content) != strconv.Itoa(os.Getpid()) {
		return nil
	}
	return os.Remove(path)
}
