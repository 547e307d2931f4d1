package control

import (
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Reasons for which a question got no answer. They say nothing about what the sandbox may have sent.
var (
	// ErrStalled: the sandbox did not answer, or not to the end, within its time.
	ErrStalled = errors.New("no answer in time")
	// ErrOutOfTime: the time for all questions was over before the sandbox's own was.
	ErrOutOfTime = errors.New("no time was left to wait for an answer")
	// ErrNotAsked is the ErrOutOfTime of a sandbox that was not even asked.
	ErrNotAsked = fmt.Errorf("%w, or to ask", ErrOutOfTime)
	// ErrUnreachable: there is no control socket, or nobody listens on it.
	ErrUnreachable = errors.New("cannot connect to the control socket")
	// ErrClosed: the connection ended before the answer did.
	ErrClosed = errors.New("the connection was closed before the end of the answer")
	// ErrTooLong: the answer is longer than the sandbox's largest honest one could be, or than can be held at once.
	ErrTooLong = errors.New("the answer is too long")
	// ErrDescriptors: open files came with the answer, or those that came with the last ones are still being closed.
	ErrDescriptors = errors.New("it sends open files with its answer")
	// ErrInternal: the server lacks something, descriptors for example; the sandbox is not to blame.
	ErrInternal = errors.New("the question could not be asked")
)

// A Reply is what a sandbox sent. Nothing in it is to be believed.
type Reply struct{ bytes []byte }

// NewReply makes a Reply of bytes, for tests and for tools that have them from elsewhere.
func NewReply(bytes []byte) Reply { return Reply{bytes} }

// Untrusted returns the bytes. They are valid until the receiver returns.
func (r Reply) Untrusted() []byte { return r.bytes }

// ExportRequest asks for the metrics whose names match the Go regular expression filter; all when it is empty.
func ExportRequest(filter string) []byte {
	return append(appendJSONString([]byte(`{"method":"Metrics.Export","arg":{"only_metrics":`), filter), "}}"...)
}

// SavingsRequest asks a restored sandbox how much time its checkpoint saved it.
func SavingsRequest() []byte { return []byte(`{"method":"containerManager.GetSavings","arg":null}`) }

// An Address is where a sandbox's control socket is: at one of two paths.
type Address struct {
	primary, fallback socketPath
	closing           atomic.Int32 // connections that are being closed
}

// NewAddress returns the address of a socket at path or, where nothing is at path, at fallback. An empty fallback means none.
func NewAddress(path, fallback string) *Address {
	a := &Address{primary: newSocketPath(path)}
	if fallback != path {
		a.fallback = newSocketPath(fallback)
	}
	return a
}

// socketPath is a path and, when it is short enough for connect(2), its address in the kernel's form, made once.
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

// connect connects fd to the address.
func (a *Address) connect(fd int) error {
	err := a.primary.connect(fd)
	if err == unix.ENOENT && a.fallback.path != "" {
		err = a.fallback.connect(fd)
	}
	return err
}

// Listening reports whether somebody listens at the address. A full backlog has somebody behind it.
func (a *Address) Listening() bool {
	fd, err := newSocket(refusing())
	if err != nil {
		return false
	}
	defer hangUp(fd, a, refusing())
	err = a.connect(fd)
	return err == nil || err == unix.EAGAIN
}

func (p *socketPath) connect(fd int) error {
	if p.path == "" {
		return unix.ENOENT
	}
	if p.addr != nil {
		return unix.Connect(fd, p.addr)
	}
	// The path is too long for connect(2): reach the socket through a descriptor of it.
	at, err := unix.Open(p.path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	return unix.Connect(fd, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(at)})
}

// A Query is one question to one sandbox.
type Query struct {
	Address *Address
	Request []byte
	Limit   int           // bytes of the longest answer
	Timeout time.Duration // from connecting to the end of the answer
}

func errUnreachable(err error) error { return fmt.Errorf("%w: %w", ErrUnreachable, err) }
func errInternal(err error) error    { return fmt.Errorf("%w: %w", ErrInternal, err) }

func errTooLong(limit int) error {
	return fmt.Errorf("%w: more than %d bytes", ErrTooLong, limit)
}

// errTooMuch is for the answer that takes most room when all of them together are too long.
var errTooMuch = fmt.Errorf("%w: it is the largest of unfinished ones that together exceed %d bytes", ErrTooLong, heldMax)
