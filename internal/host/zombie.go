package host

import (
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A zombie is what the kernel tells of a process that has ended and has not been reaped.
type zombie struct {
	status   int           // exit status in the format of wait(2)
	readable bool          // status is known
	cpu      time.Duration // CPU time of all its threads; 0: not known
}

// zombie returns what the kernel tells of the process, which has ended. It is empty if the process
// has been reaped. The caller holds mu.
func (p *Process) zombie() zombie {
	if p.start == 0 { // whatever has the PID now cannot be identified
		return zombie{}
	}
	z := readZombie(p.pid, p.start)
	if p.fd >= 0 && !isZombie(p.fd) {
		return zombie{}
	}
	return z
}

// isZombie reports whether the process of the pidfd has ended and has not been reaped. Before Linux
// 6.9, the kernel does not tell whether it has been reaped.
func isZombie(pidfd int) bool {
	events, err := polled(pidfd)
	return err == nil && events == unix.POLLIN
}

// readZombie returns what the kernel tells of the zombie that began at start. Between two readings
// of /proc that show the zombie, its PID was its own.
func readZombie(pid int, start int64) zombie {
	before, ok := readZombieStat(pid, start)
	if !ok {
		return zombie{}
	}
	z := zombie{status: before.status, readable: before.status > 0 || before.status == 0 && mayReadStatus(pid)}
	if used, err := cpuClock(pid); err == nil {
		z.cpu = time.Duration(used)
	}
	if after, ok := readZombieStat(pid, start); !ok || after != before {
		return zombie{}
	}
	return z
}

func readZombieStat(pid int, start int64) (stat procStat, ok bool) {
	stat, err := readProcStat("", pid)
	return stat, err == nil && stat.ended && stat.start == start
}

// mayReadStatus reports whether the kernel shows the exit status of the zombie to this thread. To
// users without permission it shows 0. It makes the same check for links to namespaces
// (PTRACE_MODE_READ_FSCREDS), and the error is another one where the check succeeds, because a
// zombie has no namespaces.
func mayReadStatus(pid int) bool {
	_, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/net")
	return err == nil || os.IsNotExist(err)
}
