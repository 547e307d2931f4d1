package host

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// readSentry measures the sentry itself where the sandbox has no cgroup of its own.
func (a *Account) readSentry(u *fact.Reading, sources *[fact.Quantities]uint64) {
	if !u.Has(fact.CPU) {
		if used, err := a.meter.cpuClock(a.subject.PID); err == nil {
			u.Set(fact.SentryCPU, used)
			sources[fact.SentryCPU] = uint64(a.subject.PID)
		} else {
			u.Lack(fact.SentryUnreadable)
		}
	}
	if !u.Has(fact.Memory) {
		if used, err := a.sentryMemory(); err == nil {
			u.Set(fact.SentryMemory, used)
		} else {
			u.Lack(fact.SentryUnreadable)
		}
	}
}

// cpuClock returns the CPU time of all threads of a process, from its own clock. Every user may
// read that.
func cpuClock(pid int) (int64, error) {
	const scheduled = 2 // kind of clock: CPU time to the nanosecond; see clock_getcpuclockid(3)
	var used unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &used); err != nil {
		return 0, err
	}
	return used.Nano(), nil
}

// sentryMemory returns the anonymous memory of the sentry, and the memory of the files that it
// holds in memory only: those have the memory of the sandbox's processes. Pages of files on disk,
// such as runsc's program, are not the sandbox's. smaps_rollup would take a hundred times as long,
// and leaves out what the sentry has not mapped.
func (a *Account) sentryMemory() (int64, error) {
	data, err := a.meter.read(a.file("statm"))
	if err != nil {
		return 0, err
	}
	anonymous, err := parseStatm(data)
	if err != nil {
		return 0, err
	}
	files, err := a.memfdBlocks()
	return anonymous + files, err
}

// parseStatm returns the anonymous memory in /proc/PID/statm in bytes: what is resident and is not
// of a file.
func parseStatm(data []byte) (int64, error) {
	const resident, shared = 1, 2
	fields := bytes.Fields(data)
	if len(fields) <= shared {
		return 0, errFormat
	}
	page := int64(os.Getpagesize())
	all, err := parseCount(fields[resident], page)
	ofFiles, sharedErr := parseCount(fields[shared], page)
	return max(0, all-ofFiles), cmp.Or(err, sharedErr)
}

// A memfd is a file that is only in memory.
type memfd struct {
	descriptor string // its number in the sentry
	inode      uint64
}

// maxMemfds limits the memory files of a sentry. There are three.
const maxMemfds = 64

// memfdBlocks returns the allocated bytes of the sentry's memory files. Looking for them among all
// descriptors is dear, so that is done only when a known one has changed.
func (a *Account) memfdBlocks() (int64, error) {
	if a.memfds != nil {
		if n, ok := a.sumMemfds(); ok {
			return n, nil
		}
	}
	if err := a.findMemfds(); err != nil {
		return 0, err
	}
	n, _ := a.sumMemfds()
	return n, nil
}

// sumMemfds adds up the known memory files, and reports whether all are still there.
func (a *Account) sumMemfds() (bytes int64, ok bool) {
	for _, f := range a.memfds {
		var stat unix.Stat_t
		if unix.Stat(a.file("fd/"+f.descriptor), &stat) != nil || stat.Ino != f.inode {
			return bytes, false
		}
		const block = 512
		bytes += stat.Blocks * block
	}
	return bytes, true
}

// findMemfds finds the memory files of the sentry. A file with several descriptors counts once.
func (a *Account) findMemfds() error {
	dir, err := os.Open(a.file("fd"))
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	a.memfds = []memfd{}
	seen := make(map[uint64]bool)
	for _, name := range names {
		target, err := os.Readlink(a.file("fd/" + name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			a.memfds = nil
			return err // with CAP_DAC_OVERRIDE alone, the names can be read, and nothing about them
		}
		if !strings.HasPrefix(target, "/memfd:") {
			continue
		}
		var stat unix.Stat_t
		if unix.Stat(a.file("fd/"+name), &stat) != nil || seen[stat.Ino] || len(a.memfds) == maxMemfds {
			continue
		}
		seen[stat.Ino] = true
		a.memfds = append(a.memfds, memfd{name, stat.Ino})
	}
	return nil
}
