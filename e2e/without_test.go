package e2e

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A feature is a part of the kernel that older ones, or nodes that are set up differently, lack.
type feature string

const (
	pidfdInfo  feature = "pidfd"       // the exit status of reaped processes, since Linux 6.15
	exitEvents feature = "exit_events" // the process events connector
)

// envWithout makes the test program execute its arguments without the features that it lists.
const envWithout = "SANDMETER_E2E_WITHOUT"

// without makes a program run without features of the kernel.
func (p *program) without(features ...feature) *program {
	if len(features) == 0 {
		return p
	}
	list := ""
	for _, f := range features {
		list += string(f) + " "
	}
	p.Args = append([]string{os.Args[0], p.Path}, p.Args[1:]...)
	p.Path = "/proc/self/exe"
	p.Env = append(os.Environ(), envWithout+"="+list)
	return p
}

// runWithout replaces this process by the program that its arguments name.
func runWithout(list string) error {
	runtime.LockOSThread() // the filter is this thread's, and the program's that it executes
	filter := deny(strings.Fields(list))
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return err
	}
	path, err := exec.LookPath(os.Args[1])
	if err != nil {
		return err
	}
	env := slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, envWithout) })
	return syscall.Exec(path, os.Args[1:], env)
}

// deny returns a filter of system calls that refuses the features.
func deny(features []string) []unix.SockFilter {
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	// unless skips the next instructions if the loaded word has another value.
	unless := func(value uint32, next uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jf: next}
	}
	refuse := func(errno syscall.Errno) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)}
	}
	const call, first, second, third = 0, 16, 24, 32 // offsets of the number and the low words of arguments
	var f []unix.SockFilter
	if slices.Contains(features, string(pidfdInfo)) {
		and := unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0xffff} // without the size
		f = append(f, load(call), unless(unix.SYS_IOCTL, 4), load(second), and, unless(unix.PIDFD_GET_INFO&0xffff, 1), refuse(unix.ENOTTY))
	}
	if slices.Contains(features, string(exitEvents)) {
		f = append(f, load(call), unless(unix.SYS_SOCKET, 5), load(first), unless(unix.AF_NETLINK, 3), load(third),
			unless(unix.NETLINK_CONNECTOR, 1), refuse(unix.EPERM))
	}
	return append(f, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
}
