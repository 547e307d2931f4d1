package control

import (
	"sync"

	"golang.org/x/sys/unix"
)

// A sandbox may send descriptors along with its answer. Whoever drops one may be the last to have it, and has to close it then, which can
// take as long as its sender likes: a TCP socket with SO_LINGER, for one, waits for its peer. The loop has one thread, and must not be
// the one to do that.
//
// Since Linux 6.16 a socket can be told to let no descriptors through. On older kernels the loop looks before it reads, and leaves it to
// another thread to close a connection on which something was left unread.

// refusing reports whether the kernel can let no descriptors through.
var refusing = sync.OnceValue(func() bool {
	fd, err := newSocket(true)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
})

// newSocket returns a socket to ask a sandbox with. One that refuses descriptors lets none through.
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

// receive reads what has arrived, as far as no descriptors are with it.
func receive(fd int, buffer []byte, refuses bool) (int, error) {
	if !refuses {
		n, _, flags, _, err := unix.Recvmsg(fd, buffer, nil, unix.MSG_PEEK)
		switch {
		case err != nil || n == 0:
			return 0, err
		case flags&unix.MSG_CTRUNC != 0: // there is no room for descriptors, and there are some
			return 0, ErrDescriptors
		}
		buffer = buffer[:n]
	}
	return unix.Read(fd, buffer)
}

// maxClosing is how many threads may be busy with closing what one sandbox has sent. Until one is done it is not asked again.
const maxClosing = 4

// hangUp closes a connection to the address. While another thread is at it, the address is closing.
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

// drained reports whether nothing is left to be read, and sees to it that nothing more comes.
func drained(fd int) bool {
	if unix.Shutdown(fd, unix.SHUT_RD) != nil {
		return true // it is not connected
	}
	n, err := unix.IoctlGetInt(fd, unix.SIOCINQ)
	return err == nil && n == 0
}
