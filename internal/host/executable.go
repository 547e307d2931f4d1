package host

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// A File identifies a program file. While a process runs the file, no other file has the same device
// and inode; the time of the last change tells apart files that had the same inode one after the other.
type File struct {
	Device, Inode uint64
	Modified      int64 // nanoseconds since the Unix epoch
}

// An Executable is the program file of a process. Path is the kernel's name for the file. It may be
// a path of another mount namespace, and a process can change it, so it is only a hint: whether this
// host has the file at that path is for the caller to check.
type Executable struct {
	File
	Path string
}

// ErrEnded means that a process has ended.
var ErrEnded = errors.New("the process has ended")

// Executable returns the program file of the process. Reading it takes the permissions of
// ptrace(2): without them the error is unix.EACCES.
func (p *Process) Executable() (Executable, error) {
	e, err := programOf(p.pid)
	if err == nil && !p.Alive() {
		return Executable{}, ErrEnded
	}
	return e, err
}

// programOf returns the program file of the process that has the PID now.
func programOf(pid int) (Executable, error) {
	link := "/proc/" + strconv.Itoa(pid) + "/exe"
	// The file may be in a file system that does not reply, such as one in user space. The kernel knows
	// what identifies a file that runs, so it need not ask.
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, link, unix.AT_STATX_DONT_SYNC, unix.STATX_INO|unix.STATX_MTIME, &st); err != nil {
		return Executable{}, err
	}
	path, err := os.Readlink(link)
	if err != nil {
		return Executable{}, err
	}
	return Executable{File{unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino, st.Mtime.Sec*1e9 + int64(st.Mtime.Nsec)}, path}, nil
}
