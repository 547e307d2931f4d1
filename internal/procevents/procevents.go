// Package procevents receives the kernel's events about processes that end, from the process events
// connector of netlink. They have the exit status of every process of the node, whether or not its
// parent has reaped it, which other processes cannot learn in another way before Linux 6.15.
//
// The kernel sends them only to sockets in the initial network and PID namespaces and, before Linux
// 6.6, only with CAP_NET_ADMIN while the socket is set up.
package procevents

import (
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// An Exit is the event about a process that ends. The kernel sends it after pidfds of the process have
// become readable, and also for a process that lives on when its first thread ends, or is replaced by
// a thread that executes another program. Then the status is 0.
type Exit struct {
	PID    int
	Status int           // in the format of wait(2)
	At     time.Duration // by the monotonic clock
}

// A Socket receives events. One goroutine at a time may use it.
type Socket struct {
	fd     int
	buffer [256]byte
}

// receiveBuffer has room for about 10,000 events. If it overflows, events are lost.
const receiveBuffer = 8 << 20

// Open returns a socket that receives the events from now on.
func Open() (*Socket, error) {
	s, err := open()
	if err != nil {
		return nil, fmt.Errorf("receive events about processes: %w", err)
	}
	return s, nil
}

func open() (*Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.NETLINK_CONNECTOR)
	if err != nil {
		return nil, err
	}
	s := &Socket{fd: fd}
	if err := s.subscribe(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return s, nil
}

func (s *Socket) subscribe() error {
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		// Without CAP_NET_ADMIN, net.core.rmem_max is the limit.
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	program := unix.SockFprog{Len: uint16(len(onlyExits)), Filter: &onlyExits[0]}
	if err := unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		return err
	}
	if err := unix.Bind(s.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: connectorProcess}); err != nil {
		return err
	}
	return unix.Sendto(s.fd, listen(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// FD returns the file descriptor, for waiting until the socket is readable.
func (s *Socket) FD() int { return s.fd }

// Read calls f for each event that has arrived. It allocates nothing, because it is called for each
// process of the node that ends.
//
// It does not ask for the sender: besides the kernel, only processes with CAP_NET_ADMIN in the host's
// network namespace can send to the socket.
func (s *Socket) Read(f func(Exit)) {
	for {
		n, err := unix.Read(s.fd, s.buffer[:])
		switch err {
		case nil:
			if exit, ok := parse(s.buffer[:n]); ok {
				f(exit)
			}
		case unix.EINTR, unix.ENOBUFS: // the latter once, after events were lost; others are there
		default:
			return
		}
	}
}

// Close closes the socket.
func (s *Socket) Close() error { return unix.Close(s.fd) }

// The format of messages is a netlink header, a connector header, and an event.
const (
	connectorAt   = unix.NLMSG_HDRLEN
	connectorSize = 20
	eventAt       = connectorAt + connectorSize
	timeAt        = eventAt + 8
	pidAt         = eventAt + 16
	tgidAt        = eventAt + 20
	statusAt      = eventAt + 24
	exitSize      = statusAt + 8

	connectorProcess = 1 // CN_IDX_PROC and CN_VAL_PROC
	startListening   = 1 // PROC_CN_MCAST_LISTEN
	eventExit        = 1 << 31
)

// listen returns the message that asks the kernel for events.
func listen() []byte {
	m := make([]byte, eventAt+4)
	order := binary.NativeEndian
	order.PutUint32(m, uint32(len(m)))
	order.PutUint16(m[4:], unix.NLMSG_DONE)
	order.PutUint32(m[connectorAt:], connectorProcess)
	order.PutUint32(m[connectorAt+4:], connectorProcess)
	order.PutUint16(m[connectorAt+16:], 4)
	order.PutUint32(m[eventAt:], startListening)
	return m
}

// parse returns the exit of a thread group leader from a message. ok is false for all other messages.
func parse(m []byte) (e Exit, ok bool) {
	order := binary.NativeEndian
	if len(m) < exitSize || order.Uint32(m[connectorAt:]) != connectorProcess || order.Uint32(m[eventAt:]) != eventExit {
		return Exit{}, false
	}
	pid, tgid := order.Uint32(m[pidAt:]), order.Uint32(m[tgidAt:])
	return Exit{int(pid), int(order.Uint32(m[statusAt:])), time.Duration(order.Uint64(m[timeAt:]))}, pid == tgid
}

// onlyExits passes the events that parse takes. Without it, each new thread of the node would wake
// the server.
var onlyExits = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: eventAt},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: loaded(eventExit), Jf: 5},
	{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: pidAt},
	{Code: unix.BPF_MISC | unix.BPF_TAX},
	{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: tgidAt},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_X, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},
	{Code: unix.BPF_RET | unix.BPF_K},
}

// loaded returns a number of a message as a filter loads it: the first byte is the highest.
func loaded(n uint32) uint32 {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], n)
	return binary.BigEndian.Uint32(b[:])
}
