package host

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// An Executable identifies the program file of a process. While a process runs the file, no other
// file has the same device and inode; the time of the last change tells apart files that had the
// same inode one after the other.
type Executable struct {
	Device, Inode uint64
	Modified      int64 // nanoseconds since the Unix epoch
}

// ErrEnded means that a process has ended.
var ErrEnded = errors.New("the process has ended")

// Executable returns the program file of the process. Reading it takes the permissions of
// ptrace(2): without them the error is unix.EACCES.
func (p *Process) Executable() (Executable, error) {
	p.watcher.mu.Lock()
	began := p.start
	p.watcher.mu.Unlock() // the file may be in a file system that blocks
	var st unix.Stat_t
	if err := unix.Stat("/proc/"+strconv.Itoa(p.pid)+"/exe", &st); err != nil {
		return Executable{}, err
	}
	// Look after reading: a process that began at the same time is still the same one.
	if start, alive := look(p.pid, began, false); p.End() != nil || !alive || start != began {
		return Executable{}, ErrEnded
	}
	return Executable{Device: st.Dev, Inode: st.Ino, Modified: st.Mtim.Nano()}, nil
}
