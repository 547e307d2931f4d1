package control

import (
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

// Listening reports whether a process listens at the address. If the backlog is full, one does.
func (a *Address) Listening() bool {
	fd, err := newSocket(refusing())
	if err != nil {
		return false
	}
	defer hangUp(fd, a, refusing())
	err = a.connect(fd)
	return err == nil || err == unix.EAGAIN
}

// connect connects fd to the address.
func (a *Address) connect(fd int) error {
	err := a.primary.connect(fd)
	if err == unix.ENOENT && a.fallback.path != "" {
		err = a.fallback.connect(fd)
	}
	return err
}

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
	if path != "" && len(path) <= maxSocketPath {
		p.addr = &unix.SockaddrUnix{Name: path}
	}
	return p
}

func (p *socketPath) connect(fd int) error {
	if p.path == "" {
		return unix.ENOENT
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
