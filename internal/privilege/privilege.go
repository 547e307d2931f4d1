// Package privilege drops the capability that the server needs only to open a socket.
package privilege

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// netAdmin is the bit of CAP_NET_ADMIN in the first word of a capability set.
const netAdmin = 1 << unix.CAP_NET_ADMIN

// DropNetAdmin removes CAP_NET_ADMIN from the effective, permitted, inheritable and ambient sets of
// every thread. It is no error if the process does not have it. The error is errors.ErrUnsupported
// in a program that uses cgo, where Go cannot reach the threads that C code has started.
//
// It waits until every thread has left its system call, so no thread may be in one that the kernel
// cannot interrupt, such as a call to a hung file system.
func DropNetAdmin() error {
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3} // PID 0: the calling thread
	var sets [2]unix.CapUserData
	if err := unix.Capget(header, &sets[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	low := &sets[0]
	if (low.Effective|low.Permitted|low.Inheritable)&netAdmin == 0 {
		return nil
	}
	low.Effective &^= netAdmin
	low.Permitted &^= netAdmin
	low.Inheritable &^= netAdmin // the kernel also removes it from the ambient set
	// All threads of a Go process have the same sets, so each may take over this thread's.
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(&sets)), 0)
	if errors.Is(errno, syscall.ENOTSUP) {
		return fmt.Errorf("drop CAP_NET_ADMIN: %w with cgo: build with CGO_ENABLED=0", errors.ErrUnsupported)
	}
	if errno != 0 {
		return fmt.Errorf("drop CAP_NET_ADMIN: capset: %w: start the server without this capability, or permit the system call", errno)
	}
	return nil
}
