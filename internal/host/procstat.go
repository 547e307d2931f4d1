package host

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// clockTicks is the unit of times in /proc/PID/stat: USER_HZ, which is 100 on every Linux that Go
// runs on.
const clockTicks = 100

// procStat is the relevant part of /proc/PID/stat.
type procStat struct {
	ended  bool  // a zombie, or being reaped
	ending bool  // it has given up its cgroups and its network, and may not be a zombie yet
	start  int64 // ticks after boot
	parent int
	status int // exit status of one that has ended, in the format of wait(2); 0 without permission
}

// exiting is the flag PF_EXITING of the kernel.
const exiting = 0x4

// noStatus is the status where the file has none, or another number.
const noStatus = -1

// readProcStat reads the file of the process below the directory root.
func readProcStat(root string, pid int) (procStat, error) {
	// os.ReadFile takes twice as many system calls. One read returns all of this file.
	fd, err := unix.Open(root+"/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return procStat{}, err
	}
	defer unix.Close(fd)
	var data [1024]byte
	n, err := unix.Read(fd, data[:])
	if err != nil {
		return procStat{}, err
	}
	return parseProcStat(data[:n])
}

// parseProcStat reads the fields after the command's name, which is in parentheses and may itself
// have any byte.
func parseProcStat(data []byte) (procStat, error) {
	const stateField, parentField, flagsField, startField, statusField = 0, 1, 6, 19, 49 // counted from the one after the name
	name := bytes.LastIndexByte(data, ')')
	var fields [statusField + 1][]byte // bytes.Fields would allocate it, at each look at a process
	rest, more := bytes.TrimSpace(data[name+1:]), true
	n := 0
	for ; more && n < len(fields); n++ {
		fields[n], rest, more = bytes.Cut(rest, []byte(" "))
	}
	if name < 0 || n <= startField {
		return procStat{}, errors.New("unexpected form of /proc/PID/stat")
	}
	start, startErr := strconv.ParseInt(string(fields[startField]), 10, 64)
	parent, parentErr := strconv.Atoi(string(fields[parentField]))
	flags, flagsErr := strconv.ParseUint(string(fields[flagsField]), 10, 32)
	if err := cmp.Or(startErr, parentErr, flagsErr); err != nil {
		return procStat{}, fmt.Errorf("start, parent or flags in /proc/PID/stat: %w", err)
	}
	state := string(fields[stateField])
	stat := procStat{ended: state == "Z" || state == "X" || state == "x", ending: flags&exiting != 0, start: start, parent: parent, status: noStatus}
	if status, err := strconv.ParseUint(string(fields[statusField]), 10, 16); err == nil { // it has 16 bits
		stat.status = int(status)
	}
	return stat, nil
}

// timeOf returns the time of a number of ticks after boot, by the current wall clock. It is zero
// for 0.
func timeOf(ticks int64) time.Time {
	var boot, real unix.Timespec
	if ticks == 0 || unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil || unix.ClockGettime(unix.CLOCK_REALTIME, &real) != nil {
		return time.Time{}
	}
	return time.Unix(0, real.Nano()-boot.Nano()).Add(time.Duration(ticks) * (time.Second / clockTicks))
}
