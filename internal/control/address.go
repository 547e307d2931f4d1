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

// Peer returns the ID of the process that listens at the address, as peerOf does. An error means
// that a connection failed: nothing listens, this process may not connect, or the backlog is full.
func (a *Address) Peer() (pid int, err error) {
	fd, err := newSocket(refusing())
	if err != nil {
		return 0, err
	}
	defer hangUp(fd, a, refusing())
	if err := a.connect(fd); err != nil {
		return 0, err
	}
	return peerOf(fd)
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
	if err == unix.ENOENT && a.fallback.path != "" {
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
	at, err := unix.Open(p.path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	return unix.Connect(fd, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(at)})
}
