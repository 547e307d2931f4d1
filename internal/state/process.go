package state

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A process that began this long after its sandbox did is another one, which was given the same pid.
const pidReuseMargin = 2 * time.Minute

// clockTicks is the unit of times in /proc/PID/stat: USER_HZ, which is 100 on every Linux that Go runs on.
const clockTicks = 100

// A Process is the process of a sandbox, held from first sight so that another one that is later given its pid is never taken for it.
type Process struct {
	PID     int
	sandbox time.Time // when the sandbox was started
	pidfd   int       // -1: none could be had, and start tells it apart from others
	start   int64     // ticks after boot; 0: not known yet
	ended   bool
}

// OpenProcess holds the process pid of a sandbox that was started at started. One that is gone, and one that cannot be the sandbox's,
// has ended from the start. Close it when it is no longer needed.
func OpenProcess(pid int, started time.Time) *Process {
	p := &Process{PID: pid, sandbox: started, pidfd: -1}
	if pid <= 0 {
		p.ended = true
		return p
	}
	fd, err := unix.PidfdOpen(pid, 0)
	switch err {
	case nil:
		if p.pidfd = fd; fd >= spareDescriptors() {
			p.Close()
		}
	case unix.ESRCH, unix.EINVAL, unix.ENOENT: // the last two: it is a thread's ID by now
		p.ended = true
		return p
	}
	// Read after the pidfd is held: what is read is about the process that is held, or that one has ended.
	p.look()
	return p
}

// spareDescriptors is the number that processes' descriptors stay below: half of what the process may have, the lowest numbers being
// given out first. Questions to sandboxes, and clients, need the others.
func spareDescriptors() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(limit.Cur, math.MaxInt32) / 2)
}

// Ended reports whether the process had ended when Poll last looked.
func (p *Process) Ended() bool { return p.ended }

// Close lets go of the process.
func (p *Process) Close() {
	if p.pidfd >= 0 {
		unix.Close(p.pidfd)
		p.pidfd = -1
	}
}

func (p *Process) end() {
	p.ended = true
	p.Close()
}

// look ends the process if /proc says that it is gone, or another one. Where /proc says nothing, for lack of descriptors for example,
// nothing has changed.
func (p *Process) look() {
	stat, err := readProcStat(p.PID)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH):
		if p.pidfd < 0 { // else Poll knows better
			p.end()
		}
	case err != nil:
	case stat.ended, p.start == 0 && startedLater(stat, p.sandbox), p.start != 0 && p.start != stat.start:
		p.end()
	default:
		p.start = stat.start
	}
}

// Poll looks which of the processes have ended. All that are held by a descriptor cost one system call together. A zombie has ended.
func Poll(processes []*Process, fds []unix.PollFd) []unix.PollFd {
	fds = fds[:0]
	for _, p := range processes {
		if p.pidfd >= 0 {
			fds = append(fds, unix.PollFd{Fd: int32(p.pidfd), Events: unix.POLLIN})
		}
	}
	n := 0
	if len(fds) > 0 {
		for {
			var err error
			if n, err = unix.Poll(fds, 0); err != unix.EINTR {
				break
			}
		}
	}
	i := 0
	for _, p := range processes {
		switch {
		case p.ended:
		case p.pidfd < 0:
			p.look()
		default:
			if n > 0 && fds[i].Revents != 0 {
				p.end()
			}
			i++
		}
	}
	return fds
}

// procStat is what matters of /proc/PID/stat.
type procStat struct {
	ended bool  // a zombie, or being reaped
	start int64 // ticks after boot
}

func readProcStat(pid int) (procStat, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return procStat{}, err
	}
	return parseProcStat(data)
}

// parseProcStat reads the fields after the command's name, which is in parentheses and may itself hold any byte.
func parseProcStat(data []byte) (procStat, error) {
	const stateField, startField = 0, 19 // counted from the one after the name
	name := bytes.LastIndexByte(data, ')')
	fields := bytes.Fields(data[name+1:])
	if name < 0 || len(fields) <= startField {
		return procStat{}, errors.New("unexpected form of /proc/PID/stat")
	}
	start, err := strconv.ParseInt(string(fields[startField]), 10, 64)
	if err != nil {
		return procStat{}, fmt.Errorf("start time in /proc/PID/stat: %w", err)
	}
	state := fields[stateField][0]
	return procStat{ended: state == 'Z' || state == 'X' || state == 'x', start: start}, nil
}

// startedLater reports whether the process began minutes after the sandbox did.
func startedLater(stat procStat, sandbox time.Time) bool {
	if sandbox.IsZero() {
		return false
	}
	var boot, real unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil || unix.ClockGettime(unix.CLOCK_REALTIME, &real) != nil {
		return false
	}
	sinceBoot := time.Duration(stat.start) * (time.Second / clockTicks)
	began := time.Unix(0, real.Nano()-boot.Nano()).Add(sinceBoot)
	return began.Sub(sandbox) > pidReuseMargin
}
