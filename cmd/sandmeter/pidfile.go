package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// writePIDFile writes the PID file of this process. Readers see it complete or not at all. It
// replaces the PID file of a process that has ended. It leaves the file of a running process, and
// any other file, alone.
func writePIDFile(path string) error {
	err := checkStale(path)
	if err == nil {
		// No newline, as in the PID file of gVisor's own server: some readers expect only digits.
		err = replaceFile(path, strconv.Itoa(os.Getpid()))
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err // the rest is the path again, or the path of a temporary file
	}
	if err != nil {
		return fmt.Errorf("PID file %s: %w", path, err)
	}
	return nil
}

// replaceFile writes a temporary file next to path, and renames it.
func replaceFile(path, content string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// checkStale returns nil if there is no PID file, if it is empty, or if its process is not running.
func checkStale(path string) error {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file: remove it, or choose another path")
	}
	content, err := os.ReadFile(path)
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
