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

// maxPIDFile bounds what is read of a PID file.
const maxPIDFile = 64

// writePIDFile writes a PID file of this process. It is there with its content or not at all. The file of a process that has ended is
// replaced; that of a running one, and anything else at the path, is left alone.
func writePIDFile(path string) error {
	err := placePIDFile(path)
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err // the rest is the path once more, or that of a temporary file
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
		err = os.Link(written, path) // unlike a rename, it fails if there is a file
		if errors.Is(err, fs.ErrExist) {
			err = replacePIDFile(written, path)
		}
		if !errors.Is(err, errMoved) {
			return err
		}
	}
}

// writeTempPIDFile writes a file beside path, with the ID of this process, and returns its path.
func writeTempPIDFile(path string) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", err
	}
	// Without a newline, as gVisor's own server writes it: there are readers that take every byte for a digit.
	_, err = f.WriteString(strconv.Itoa(os.Getpid()))
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// errMoved says that another process has replaced or removed the file meanwhile.
var errMoved = errors.New("the file is another one by now")

// replacePIDFile renames a file to path, if the PID file there is that of a process that has ended. Of several processes that want to, the
// lock on the old file lets one.
func replacePIDFile(written, path string) error {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return errMoved
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("something that is no regular file is there: remove it, or choose another path")
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
		return errors.New("another process has it locked: end that process, or choose another path")
	}
	if !isAt(f, path) {
		return errMoved
	}
	return os.Rename(written, path)
}

// checkStale returns nil if a PID file names no process, as a failed write leaves it, or one that is not running.
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
		return errors.New("the file there is no PID file: remove it, or choose another path")
	case int(pid) != os.Getpid() && isRunning(int(pid)):
		return fmt.Errorf("it is that of process %d, which is running: end that process, or choose another path", pid)
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

// isRunning reports whether a process has not ended. One that its parent has not waited for yet has.
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

// removePIDFile removes the file if it is still that of this process.
func removePIDFile(path string) error {
	content, err := os.ReadFile(path)
	if err != nil || string(content) != strconv.Itoa(os.Getpid()) {
		return nil
	}
	return os.Remove(path)
}
