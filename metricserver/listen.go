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
	maxSocketPath = 107 // of bind(2), without its NUL
	dialTimeout   = time.Second
	lockTimeout   = 2 * time.Second
	lockPause     = 10 * time.Millisecond
)

// listenAll listens on all addresses of the options, or on none.
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

// closeAll closes listeners, which may be closed already.
func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}

func addrsOf(listeners []net.Listener) []net.Addr {
	addrs := make([]net.Addr, len(listeners))
	for i, l := range listeners {
		addrs[i] = l.Addr()
	}
	return addrs
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

// explain says what to do about an address that cannot be listened on.
func explain(address string, err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err // the rest is the address once more
	}
	advice := ""
	wrong, isWrong := errors.AsType[*net.AddrError](err)
	switch {
	case isWrong:
		err, advice = errors.New(wrong.Err), ": give host:port, :port or the absolute path of a Unix socket"
	case errors.Is(err, syscall.EADDRINUSE):
		advice = ": end the program that listens there, or choose another address"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		advice = ": choose an address of this machine"
	case errors.Is(err, fs.ErrPermission):
		advice = ": choose another address, or run as a user who may"
	case errors.Is(err, fs.ErrNotExist):
		advice = ": create the directory, or choose another address"
	}
	return fmt.Errorf("listen on %s: %w%s", address, err, advice)
}

// listenUnix makes a Unix socket. One that a server which is dead left behind is replaced; anything else at the path is left alone.
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
	// The mode is that of the socket before it has a name, so that it is never open to more people than it should be.
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

// setAccess sets what the umask may have taken of the mode, and the group.
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

// lockDir locks a directory against other servers that look at this moment whether a socket in it is stale, so that of any number of
// them exactly one gets it. It makes no file.
func lockDir(dir string) (unlock func(), err error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	// Not for ever: another program may lock the directory for reasons of its own. Then the kernel's check has to do.
	for start := time.Now(); time.Since(start) < lockTimeout; time.Sleep(lockPause) {
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK && err != unix.EINTR {
			break
		}
	}
	return func() { unix.Close(fd) }, nil
}

// removeStale removes a socket on which nothing listens. That it refuses connections is the only proof; one whose backlog is full has a
// server.
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

// An ownSocket removes its file when it is closed for the first time, if it is still its own.
type ownSocket struct {
	*net.UnixListener
	path   string
	info   fs.FileInfo
	remove sync.Once // later, the inode may be another server's
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
