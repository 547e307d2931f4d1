package control

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

// A sandbox may send file descriptors along with its reply. The process that drops the last one of
// an open file has to close that file, which can take as long as the sender likes: a TCP socket
// with SO_LINGER, for one, waits for its peer. That must never happen on the loop's goroutine.
// Since Linux 6.16 a socket option blocks file descriptors. On older kernels the loop looks for
// them before it reads, and another goroutine closes a connection that has unread data.

// refusing reports whether the kernel can block file descriptors on a socket.
var refusing = sync.OnceValue(func() bool {
	fd, err := newSocket(true)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
})

// newSocket returns a socket for one query. If refuses is set, the kernel drops file descriptors
// that are sent to it.
func newSocket(refuses bool) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil || !refuses {
		return fd, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 0); err != nil {
		unix.Close(fd)
		return noFD, err
	}
	return fd, nil
}

var errDescriptors = errors.New("file descriptors came with the data")

// receive reads the data that has arrived, and returns an error if file descriptors came with it.
func receive(fd int, buffer []byte, refuses bool) (int, error) {
	if !refuses {
		n, _, flags, _, err := unix.Recvmsg(fd, buffer, nil, unix.MSG_PEEK)
		switch {
		case err != nil || n == 0:
			return 0, err
		case flags&unix.MSG_CTRUNC != 0: // there are file descriptors, but no buffer for them
			return 0, errDescriptors
		}
		buffer = buffer[:n]
	}
	return unix.Read(fd, buffer)
}

// maxClosing is how many goroutines may be closing connections to one sandbox. While there are so
// many, queries to the sandbox fail.
const maxClosing = 4

// hangUp closes a connection to the address. If that may take long, a goroutine does it. Nothing
// waits for that goroutine, since the sandbox decides when it ends; the address counts it, and it
// uses nothing else.
func hangUp(fd int, a *Address, refuses bool) {
	if refuses || drained(fd) {
		unix.Close(fd)
		return
	}
	a.closing.Add(1)
	go func() {
		unix.Close(fd)
		a.closing.Add(-1)
	}()
}

// drained shuts down the receiving side and reports whether no unread data is left.
func drained(fd int) bool {
	if unix.Shutdown(fd, unix.SHUT_RD) != nil {
		return true // it is not connected
	}
	n, err := unix.IoctlGetInt(fd, unix.SIOCINQ)
	return err == nil && n == 0
}
