package simulate

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	backlog       = 16  // of a real control socket
	maxSocketPath = 107 // bytes that bind takes
	noSocket      = -1  // in place of a file descriptor
)

// bindUnix returns the file descriptor of a non-blocking socket that is bound to the path. It
// reaches a path that is too long for bind through a file descriptor of its directory.
func bindUnix(path string) (int, error) {
	if len(path) > maxSocketPath {
		dir, err := os.OpenFile(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return -1, err
		}
		defer dir.Close()
		path = fmt.Sprintf("/dev/fd/%d/%s", dir.Fd(), filepath.Base(path))
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return -1, &os.PathError{Op: "bind", Path: path, Err: err}
	}
	return fd, nil
}
