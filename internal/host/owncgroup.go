package host

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// A cgroup is a sandbox's own if its name says that it was made for the sandbox, and if all
// processes in it and below it are the sandbox's. The name excludes the cgroups of sessions,
// services and slices that happen to have no other process now: their counters have the past of
// others. The processes exclude cgroups that were made for the sandbox and are used by others too.

// named reports whether the path of a cgroup says that it was made for the sandbox: the last
// element is the name in the OCI spec, or has the sandbox's ID or the pod's UID.
func (s *Subject) named(cgroupPath string) bool {
	name := path.Base(cgroupPath)
	if name == "/" || name == "." {
		return false
	}
	if s.namedAlone(cgroupPath) || strings.TrimSuffix(name, ".scope") == strings.TrimSuffix(path.Base(s.Cgroup), ".scope") {
		return true
	}
	// systemd has underscores for hyphens in names of slices.
	const shortest = 8
	return len(s.PodUID) >= shortest && strings.Contains(strings.ReplaceAll(name, "_", "-"), s.PodUID)
}

// namedAlone reports whether the path of a cgroup says that no other sandbox will have it: the last
// element has the sandbox's ID.
func (s *Subject) namedAlone(cgroupPath string) bool {
	name := strings.TrimSuffix(path.Base(cgroupPath), ".scope")
	return name == s.ID || strings.HasSuffix(name, "-"+s.ID)
}

// Limits of a census, so that a sandbox with very many processes delays no collection for long.
const (
	maxCensus  = 4096 // processes in one cgroup and below it
	maxCgroups = 256  // cgroups below it
)

// A census checks whose the processes of a sandbox's cgroups are.
type census struct {
	meter   *Meter
	subject *Subject
	ours    map[int]bool // verdicts, which hold for all hierarchies
}

func newCensus(m *Meter, s *Subject) *census {
	c := &census{m, s, map[int]bool{s.PID: true}}
	if s.Level > 0 {
		return c // see isNestedGofer
	}
	for _, gofer := range s.Gofers {
		if gofer > 1 { // 0: none
			c.ours[gofer] = true
		}
	}
	return c
}

// isNestedGofer reports whether a process of a PID namespace below this one is a gofer: it has the
// PID of one in the namespace in which runsc ran.
func (c *census) isNestedGofer(pid int) bool {
	level := c.subject.Level
	if level == 0 {
		return false
	}
	pids := namespacePIDs(c.meter.root, pid)
	return len(pids) > level && pids[level] > 1 && slices.Contains(c.subject.Gofers, pids[level])
}

// check returns why the cgroup is not the sandbox's own, or "".
func (c *census) check(dir string) fact.Reason {
	dirs, processes := []string{dir}, 0
	for len(dirs) > 0 {
		dir := dirs[len(dirs)-1]
		dirs = dirs[:len(dirs)-1]
		n, reason := c.checkProcesses(dir)
		processes += n
		if reason != "" {
			return reason
		}
		below, err := children(dir)
		if err != nil {
			return fact.CgroupUnreadable
		}
		dirs = append(dirs, below...)
		if processes > maxCensus || len(dirs) > maxCgroups {
			return fact.CgroupLarge
		}
	}
	return ""
}

// checkProcesses checks the processes of one cgroup, and returns how many there are.
func (c *census) checkProcesses(dir string) (n int, reason fact.Reason) {
	data, err := c.meter.read(dir + "/cgroup.procs")
	switch {
	case errors.Is(err, unix.EFBIG):
		return 0, fact.CgroupLarge
	case err != nil:
		return 0, fact.CgroupUnreadable
	}
	pids, err := parsePIDs(data)
	switch {
	case err != nil:
		return 0, fact.CgroupUnreadable
	case len(pids) > maxCensus:
		return 0, fact.CgroupLarge
	}
	for _, pid := range pids {
		if !c.isOurs(pid) {
			return 0, fact.CgroupShared
		}
	}
	return len(pids), ""
}

// parsePIDs parses cgroup.procs. Processes of other PID namespaces are 0.
func parsePIDs(data []byte) ([]int, error) {
	var pids []int
	for line := range bytes.Lines(data) {
		pid, err := strconv.ParseUint(string(bytes.TrimSuffix(line, []byte("\n"))), 10, 31)
		if err != nil {
			return nil, errFormat
		}
		pids = append(pids, int(pid))
	}
	return pids, nil
}

// isOurs reports whether the process is the sentry, a gofer, or a descendant of one of them. A
// process that has ended meanwhile does not count.
func (c *census) isOurs(pid int) bool {
	// A process between two others may end while its descendants are checked. Then the kernel gives
	// them another parent.
	const attempts = 3
	for range attempts {
		if ours, known := c.climb(pid); known {
			c.ours[pid] = ours
			return ours
		}
	}
	return false
}

// climb goes from parent to parent. The result is not known if a parent has ended meanwhile.
func (c *census) climb(pid int) (ours, known bool) {
	const deepest = 1000
	at := pid
	for range deepest {
		if ours, known := c.ours[at]; known {
			return ours, true
		}
		switch {
		case at <= 1:
			return false, true
		case c.isNestedGofer(at):
			return true, true
		}
		stat, err := readProcStat(c.meter.root, at)
		switch {
		case err == nil:
			at = stat.parent
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH):
			return true, at == pid
		default:
			return false, true
		}
	}
	return false, true
}

// children returns the directories of the cgroups below one.
func children(dir string) ([]string, error) {
	var stat unix.Stat_t
	if err := unix.Stat(dir, &stat); err != nil {
		return nil, err
	}
	// In cgroup file systems, each directory below has a link, and listing is much dearer. A copy on
	// another file system may have no such links, but then their number is not 2.
	if stat.Nlink == 2 {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, dir+"/"+e.Name())
		}
	}
	return dirs, nil
}
