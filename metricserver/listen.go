package metricserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxSocketPath = 107 // the limit of bind(2), without the NUL
	dialTimeout   = time.Second
	lockTimeout   = 2 * time.Second
	lockPause     = 10 * time.Millisecond
)

// listenAll listens on all addresses of the options. If one fails, it closes the others.
func listenAll(o *Options) ([]net.Listener, error) {
	var listeners []net.Listener
	for _, address := range o.Addresses {
		l, err := listen(address, o.SocketMode, o.SocketGroup)
		if err != nil {
			closeAll(listeners)
			return nil, err
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// closeAll closes listeners. Some may be closed already.
func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}

// listen listens on host:port, on :port, or on a Unix socket at an absolute path.
func listen(address string, mode fs.FileMode, group string) (net.Listener, error) {
	if !filepath.IsAbs(address) {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, explain(address, err)
		}
		return l, nil
	}
	return listenUnix(address, mode, group)
}

// explain adds advice to an error from listening on an address.
func explain(address string, err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err // the rest repeats the address
	}
	advice := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		advice = ": end the program that listens there, or choose another address"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		advice = ": choose an address of this machine"
	case errors.Is(err, fs.ErrPermission):
		advice = ": choose another address, or run as root or as a user with permission"
	case errors.Is(err, fs.ErrNotExist):
		advice = ": create the directory, or choose another address"
	}
	return fmt.Errorf("listen on %s: %w%s", address, err, advice)
}

// listenUnix creates a Unix socket. It replaces a stale socket of a dead server, and leaves any
// other file at the path alone.
func listenUnix(path string, mode fs.FileMode, group string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("listen on %s: the path has %d bytes, and a Unix socket's at most %d: choose a shorter one", path, len(path), maxSocketPath)
	}
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return nil, explain(path, err)
	}
	defer unlock()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// Set the mode before the socket has a name, so that its permissions are never wider than
	// configured.
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if e := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), uint32(mode.Perm())) }); e != nil {
			return e
		}
		return err
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, explain(path, err)
	}
	own, err := newOwnSocket(l.(*net.UnixListener), path)
	if err != nil {
		l.Close()
		return nil, explain(path, err)
	}
	if err := setAccess(path, mode, group); err != nil {
		own.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return own, nil
}

// setAccess sets the group, and restores mode bits that the umask cleared.
func setAccess(path string, mode fs.FileMode, group string) error {
	if group != "" {
		gid, err := lookupGroup(group)
		if err != nil {
			return err
		}
		if err := os.Lchown(path, -1, gid); err != nil {
			return fmt.Errorf("socket group %q: %w: choose a group that this process is in", group, err)
		}
	}
	return os.Chmod(path, mode)
}

func lookupGroup(group string) (int, error) {
	if gid, err := strconv.Atoi(group); err == nil {
		return gid, nil
	}
	g, err := user.LookupGroup(group)
	if _, unknown := errors.AsType[user.UnknownGroupError](err); unknown {
		return 0, fmt.Errorf("there is no group %q for the socket: name one that exists, or its number", group)
	}
	if err != nil {
		return 0, fmt.Errorf("socket group %q: %w", group, err)
	}
	return strconv.Atoi(g.Gid)
}

// lockDir locks a directory while a server checks whether a socket in it is stale. If several
// servers start at the same time, exactly one gets the socket. It creates no file.
func lockDir(dir string) (unlock func(), err error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	// Do not wait forever: another program may hold the lock for other purposes. After lockTimeout,
	// rely on the check in the kernel.
	for start := time.Now(); time.Since(start) < lockTimeout; time.Sleep(lockPause) {
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK && err != unix.EINTR {
			break
		}
	}
	return func() { unix.Close(fd) }, nil
}

// removeStale removes a socket that has no listener. Only a refused connection proves this: a
// socket with a full backlog still has a server.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return explain(path, err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listen on %s: a file that is not a socket is there: remove it, or choose another address", path)
	}
	conn, err := net.DialTimeout("unix", path, dialTimeout)
	switch {
	case err == nil:
		conn.Close()
	case errors.Is(err, fs.ErrNotExist):
		return nil // its server has just removed it
	case errors.Is(err, syscall.ECONNREFUSED):
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return explain(path, err)
		}
		return nil
	}
	return explain(path, syscall.EADDRINUSE)
}

// An ownSocket removes its file on the first Close, unless another file has replaced it.
type ownSocket struct {
	*net.UnixListener
	path   string
	info   fs.FileInfo
	remove sync.Once // after the first Close, another server may reuse the inode
}

func newOwnSocket(l *net.UnixListener, path string) (*ownSocket, error) {
	l.SetUnlinkOnClose(false)
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	return &ownSocket{UnixListener: l, path: path, info: info}, nil
}

// Close stops listening and removes the socket.
func (s *ownSocket) Close() error {
	s.remove.Do(func() {
		if info, err := os.Lstat(s.path); err == nil && os.SameFile(info, s.info) {
			os.Remove(s.path)
		}
	})
	return s.UnixListener.Close()
}
