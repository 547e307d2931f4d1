package control

import (
	"errors"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// An Address is where a sandbox's control socket is: at one of two paths. It is safe for concurrent
// use. All queries to a sandbox should share one, since it counts the connections being closed.
type Address struct {
	primary, fallback socketPath
	dir               string       // of the primary
	closing           atomic.Int32 // connections that are being closed
	hang              func()       // called before connecting; nil except in tests
}

// NewAddress returns the address of a socket at path or, where nothing is at path, at fallback. An
// empty fallback means none.
func NewAddress(path, fallback string) *Address {
	a := &Address{primary: newSocketPath(path), dir: filepath.Dir(path)}
	if fallback != path { // the second path is tried in any directory
		a.fallback = newSocketPath(fallback)
	}
	return a
}

// Path returns the first path.
func (a *Address) Path() string { return a.primary.path }

// A Listener is the process that listens at an address.
type Listener struct {
	PID      int  // 0: a process of another PID namespace, which this process cannot see
	PIDFD    int  // of the process, for the caller to close; -1: none could be made
	Fallback bool // nothing is at the first path
}

// A Dir identifies a directory.
type Dir struct{ Device, Inode uint64 }

// errMoved is for a socket whose directory is another one than expected.
var errMoved = errors.New("the path leads to another directory than before")

// Listener connects to the address and returns the process that listens there. The pidfd was made
// while the connection was open. A link at the path is not followed, and the directory of the first
// path has to be the one given, unless that is zero: a process that can write the runtime root, or
// replace it, could lead to the socket of another sandbox. An error means that the connection failed:
// nothing listens, this process may not connect, or, if it is unix.EAGAIN, the backlog is full.
func (a *Address) Listener(in Dir) (Listener, error) {
	none := Listener{PIDFD: -1}
	if a.closing.Load() >= maxClosing {
		return none, stillClosing
	}
	fd, err := newSocket(refusing())
	if err != nil {
		return none, err
	}
	defer hangUp(fd, a, refusing())
	l := Listener{}
	err = a.primary.connectIn(fd, in)
	if err == unix.ENOENT {
		l.Fallback = true
		err = a.fallback.connectIn(fd, Dir{})
	}
	if err != nil {
		return none, err
	}
	if l.PID, err = peerOf(fd); err != nil {
		return none, err
	}
	if l.PID == 0 {
		l.PIDFD = -1
		return l, nil
	}
	if l.PIDFD, err = pidfdOf(fd, l.PID); err != nil {
		return none, err
	}
	return l, nil
}

// pidfdOf returns a pidfd of the process that listens at the other end of a connection, or -1. The
// kernel makes it of that very process since Linux 6.5; if the process has ended, nothing that is its
// own listens any more. On older kernels it is of the process that has the ID now, which is another one
// if the first has ended and passed its socket on.
func pidfdOf(fd, pid int) (int, error) {
	pidfd, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	switch {
	case err == nil || lacksDescriptors(err):
		return pidfd, err
	case err != unix.ENOPROTOOPT:
		return -1, unix.ECONNREFUSED
	}
	if pidfd, err = unix.PidfdOpen(pid, 0); err != nil {
		return -1, nil
	}
	return pidfd, nil
}

// peerOf returns the ID of the process that listens at the other end of a connection, which is 0
// for a process in another PID namespace. The kernel noted it when that process began to listen, so
// it is proof of who listens: a sandbox cannot change it.
func peerOf(fd int) (pid int, err error) {
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, err
	}
	return int(peer.Pid), nil
}

// connect connects fd to the address.
func (a *Address) connect(fd int) error {
	err := a.primary.connect(fd)
	if err == unix.ENOENT {
		err = a.fallback.connect(fd)
	}
	return err
}

// errRelative is for a path that is not absolute. Such a path would depend on the directory in
// which the server was started; one that begins with @ or a NUL is an abstract socket, which any
// process in the server's network namespace can take.
var errRelative = errors.New("the path is not absolute")

// socketPath is a path and, when it is short enough for connect(2), its address in the kernel's
// form, made once.
type socketPath struct {
	path string
	addr *unix.SockaddrUnix
}

// maxSocketPath is the longest path that connect(2) takes, without its NUL.
const maxSocketPath = 107

func newSocketPath(path string) socketPath {
	p := socketPath{path: path}
	if filepath.IsAbs(path) && len(path) <= maxSocketPath {
		p.addr = &unix.SockaddrUnix{Name: path}
	}
	return p
}

// check returns an error if there is no path, or if it is not absolute.
func (p *socketPath) check() error {
	switch {
	case p.path == "":
		return unix.ENOENT
	case !filepath.IsAbs(p.path):
		return errRelative
	}
	return nil
}

func (p *socketPath) connect(fd int) error {
	if err := p.check(); err != nil {
		return err
	}
	if p.addr != nil {
		return unix.Connect(fd, p.addr)
	}
	// The path is too long for connect(2): reach the socket through a file descriptor of it.
	at, err := unix.Open(p.path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	return connectThrough(fd, at)
}

// connectIn is connect to a socket, and to no link, in a certain directory; zero is any.
func (p *socketPath) connectIn(fd int, in Dir) error {
	if err := p.check(); err != nil {
		return err
	}
	dir, err := unix.Open(filepath.Dir(p.path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return err
	}
	if in != (Dir{}) && in != (Dir{st.Dev, st.Ino}) {
		return errMoved
	}
	at, err := unix.Openat(dir, filepath.Base(p.path), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	if err := unix.Fstat(at, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return errLink
	}
	return connectThrough(fd, at)
}

// connectThrough connects fd to the socket of a file descriptor.
func connectThrough(fd, at int) error {
	return unix.Connect(fd, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(at)})
}

var errLink = errors.New("the path is a link")
