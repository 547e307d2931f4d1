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
	closing           atomic.Int32 // connections that are being closed
}

// NewAddress returns the address of a socket at path or, where nothing is at path, at fallback. An
// empty fallback means none.
func NewAddress(path, fallback string) *Address {
	a := &Address{primary: newSocketPath(path)}
	if fallback != path {
		a.fallback = newSocketPath(fallback)
	}
	return a
}

// A Listener is the process that listens at an address.
type Listener struct {
	PID   int // 0: a process of another PID namespace, which this process cannot see
	PIDFD int // of the process, for the caller to close; -1: none could be made
}

// Listener connects to the address and returns the process that listens there. The pidfd was made
// while the connection was open. A link at the path is not followed: a process that can write the
// runtime root could point it to the socket of another sandbox. An error means that the connection failed:
// nothing listens, this process may not connect, or, if it is unix.EAGAIN, the backlog is full.
func (a *Address) Listener() (Listener, error) {
	none := Listener{PIDFD: -1}
	fd, err := newSocket(refusing())
	if err != nil {
		return none, err
	}
	defer hangUp(fd, a, refusing())
	if err := a.either(func(p *socketPath) error { return p.connectUnlinked(fd) }); err != nil {
		return none, err
	}
	pid, err := peerOf(fd)
	if err != nil || pid == 0 {
		return none, err
	}
	return Listener{pid, pidfdOf(fd, pid)}, nil
}

// pidfdOf returns a pidfd of the process that listens at the other end of a connection, or -1. The
// kernel makes it of the very process since Linux 6.5. On older kernels it is of the process that has
// the ID now, which is another one if the first has ended and its socket lives on.
func pidfdOf(fd, pid int) int {
	if pidfd, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD); err == nil {
		return pidfd
	}
	if pidfd, err := unix.PidfdOpen(pid, 0); err == nil {
		return pidfd
	}
	return -1
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
	return a.either(func(p *socketPath) error { return p.connect(fd) })
}

// either tries the first path and, if nothing is there, the second.
func (a *Address) either(try func(*socketPath) error) error {
	err := try(&a.primary)
	if err == unix.ENOENT && a.fallback.path != "" {
		err = try(&a.fallback)
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

func (p *socketPath) connect(fd int) error {
	if p.path == "" {
		return unix.ENOENT
	}
	if !filepath.IsAbs(p.path) {
		return errRelative
	}
	if p.addr != nil {
		return unix.Connect(fd, p.addr)
	}
	// The path is too long for connect(2): reach the socket through a file descriptor of it.
	return p.connectThrough(fd, 0)
}

// connectUnlinked is connect to a socket, and to no link.
func (p *socketPath) connectUnlinked(fd int) error {
	switch {
	case p.path == "":
		return unix.ENOENT
	case !filepath.IsAbs(p.path):
		return errRelative
	}
	return p.connectThrough(fd, unix.O_NOFOLLOW)
}

// connectThrough connects through a file descriptor of the socket, which is opened with more flags.
func (p *socketPath) connectThrough(fd, flags int) error {
	at, err := unix.Open(p.path, unix.O_PATH|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	var st unix.Stat_t
	if err := unix.Fstat(at, &st); err != nil {
		return err
	}
	if flags&unix.O_NOFOLLOW != 0 && st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return errLink
	}
	return unix.Connect(fd, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(at)})
}

var errLink = errors.New("the path is a link")
