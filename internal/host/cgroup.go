package host

import (
	"errors"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// A cgroup is a sandbox's own cgroup in one hierarchy.
type cgroup struct {
	dir   string
	inode uint64 // another cgroup at the same path has another
	files []openFile
	pod   *podCgroup // nil: it was made for the sandbox
	// unwatch ends the watch of its OOM kills; nil: there is none.
	unwatch func()
}

// An openFile is a file of a cgroup. Its descriptor is held as long as there are enough of them,
// which makes reading it several times cheaper (BenchmarkRead). A held descriptor does not keep the
// cgroup from being removed.
type openFile struct {
	path   string
	inode  uint64
	fields []field
	fd     int    // -1: the file is opened for each reading
	kept   []byte // by Keep; nil: nothing. The account's keeper guards it
}

func closeAll(cgroups []*cgroup) {
	for _, c := range cgroups {
		c.close()
	}
}

func (c *cgroup) close() {
	if c.unwatch != nil {
		c.unwatch()
	}
	for i := range c.files {
		if f := &c.files[i]; f.fd >= 0 {
			unix.Close(f.fd)
			f.fd = -1
		}
	}
}

// errGone means that a file is no longer the one that was found at first.
var errGone = errors.New("the cgroup is gone")

// isGone reports whether the error means that the cgroup has been removed.
func isGone(err error) bool {
	return errors.Is(err, errGone) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT)
}

// read returns the content of the file in the buffer. Files of cgroups are read whole by one call.
func (f *openFile) read(buffer []byte) ([]byte, error) {
	fd := f.fd
	if fd < 0 {
		opened, inode, err := openInode(f.path)
		if err != nil {
			return nil, err
		}
		defer unix.Close(opened)
		if inode != f.inode {
			return nil, errGone
		}
		fd = opened
	}
	n, err := unix.Pread(fd, buffer, 0)
	if err != nil {
		return nil, err
	}
	return buffer[:n], nil
}

func openInode(path string) (fd int, inode uint64, err error) {
	fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, 0, err
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		unix.Close(fd)
		return -1, 0, err
	}
	return fd, stat.Ino, nil
}

// A hierarchy is a hierarchy of cgroups that the sentry is in, and the files to read there.
type hierarchy struct {
	membership
	files  []cgroupFile
	needed bool // it has the figures for CPU, memory or threads
}

// hierarchiesOf divides the files among the hierarchies. What cgroup v1 controls on this host,
// cgroup v2 does not have: in hybrid setups both have a part.
func hierarchiesOf(members []membership) []hierarchy {
	var v1 []string
	for _, m := range members {
		v1 = append(v1, m.controllers...)
	}
	var list []hierarchy
	for _, m := range members {
		h := hierarchy{membership: m}
		files, mine := filesV1, func(controller string) bool { return slices.Contains(m.controllers, controller) }
		if m.controllers == nil {
			files, mine = filesV2, func(controller string) bool {
				return !slices.Contains(v1, controller) && !(controller == "cpu" && slices.Contains(v1, "cpuacct"))
			}
		}
		for _, f := range files {
			if mine(f.controller) {
				h.files = append(h.files, f)
				h.needed = h.needed || f.controller != ""
			}
		}
		if len(h.files) > 0 {
			list = append(list, h)
		}
	}
	return list
}

// dirOf returns the directory of a cgroup, if a mount has it.
func (m *Meter) dirOf(member *membership) (dir string, ok bool) {
	for i := range m.mounts {
		mount := &m.mounts[i]
		if !mount.has(member.controllers) {
			continue
		}
		if rest, ok := mount.below(member.path); ok {
			return m.root + path.Join(mount.dir, rest), true
		}
	}
	return "", false
}

// below returns the path of a cgroup below the mount. In a cgroup namespace of its own, as
// containers have, a process sees all paths from its own cgroup: that of a neighbor is /../neighbor,
// and a mount of the whole hierarchy has a root such as /../... The names that are missing then are
// those of the way to its own cgroup.
func (m *mount) below(cgroupPath string) (rest string, ok bool) {
	up, down := cutAbove(cgroupPath)
	levels, root := cutAbove(m.root)
	if root != "" {
		rest, ok = strings.CutPrefix(down, root)
		return rest, ok && up == levels && (rest == "" || rest[0] == '/')
	}
	if up > levels || levels-up > len(m.own) {
		return "", false
	}
	return "/" + path.Join(m.own[:levels-up]...) + down, true
}

// cutAbove returns how many times the path goes up, and the rest of it, which is empty or begins
// with a slash.
func cutAbove(cgroupPath string) (levels int, rest string) {
	rest = cgroupPath
	for rest == "/.." || strings.HasPrefix(rest, "/../") {
		levels++
		rest = rest[len("/.."):]
	}
	return levels, strings.TrimSuffix(rest, "/")
}

// has reports whether the mount is of the hierarchy with the controllers; none: cgroup v2.
func (m *mount) has(controllers []string) bool {
	if controllers == nil || m.controllers == nil {
		return controllers == nil && m.controllers == nil
	}
	return slices.Contains(m.controllers, controllers[0])
}

// locate finds the cgroups of the sentry that are the sandbox's own, and its network. If the sentry
// has ended or is ending, the account keeps those that it has, because Finish reads them: a process
// that is ending is in the root of each hierarchy of cgroup v1, up to 100 ms before its pidfd tells
// of the end.
func (a *Account) locate(now time.Time) {
	before := a.cgroups
	a.cgroups, a.shared, a.lacks, a.retest, a.located = nil, nil, nil, time.Time{}, true
	a.locateCgroups()
	if !a.subject.Alive() || len(before) > 0 && a.isEnding() {
		closeAll(a.cgroups)
		a.cgroups, a.lacks, a.located = before, nil, false
		return
	}
	a.pauseLost(before)
	for _, c := range a.cgroups {
		a.join(c)
		a.watchKills(c)
	}
	a.keeper.set(a.cgroups)
	closeAll(before)
	a.locateNetwork()
	if len(a.lacks) > 0 {
		a.retest = now.Add(retestAfter)
	}
}

// isEnding reports whether the sentry is on the way to its end.
func (a *Account) isEnding() bool {
	stat, err := readProcStat(a.meter.root, a.subject.PID)
	return err == nil && (stat.ending || stat.ended)
}

func (a *Account) locateCgroups() {
	data, err := a.meter.read(a.file("cgroup"))
	if err != nil {
		a.lack(fact.CgroupUnreadable)
		return
	}
	census := newCensus(a.meter, &a.subject)
	var found fact.Set
	for _, h := range hierarchiesOf(parseMemberships(data)) {
		c, reason := a.locateIn(&h, census)
		switch {
		case c != nil:
			a.cgroups = append(a.cgroups, c)
			found |= c.quantities()
		case h.needed:
			a.lack(reason)
		}
	}
	if len(a.lacks) == 0 && !found.Has(fact.CPU, fact.Memory, fact.Threads) {
		a.lack(fact.ControllerMissing)
	}
}

// locateIn returns the sandbox's own cgroup in a hierarchy, or why there is none.
func (a *Account) locateIn(h *hierarchy, census *census) (*cgroup, fact.Reason) {
	if !a.subject.named(h.path) {
		return nil, fact.CgroupForeign
	}
	dir, ok := a.meter.dirOf(&h.membership)
	if !ok {
		return nil, fact.CgroupUnreachable
	}
	if reason := census.check(dir); reason != "" {
		if reason == fact.CgroupShared {
			a.shared = append(a.shared, dir)
		}
		return nil, reason
	}
	return a.meter.openCgroup(dir, h.files)
}

// openCgroup opens the files that the cgroup has. Kernels differ in that.
func (m *Meter) openCgroup(dir string, files []cgroupFile) (*cgroup, fact.Reason) {
	c := &cgroup{dir: dir}
	var stat unix.Stat_t
	if err := unix.Stat(dir, &stat); err != nil {
		return nil, fact.CgroupUnreadable
	}
	c.inode = stat.Ino
	most := m.mayHold()
	for _, f := range files {
		if f.limit != "" && !m.isLimited(dir+"/"+f.limit) {
			continue
		}
		path := dir + "/" + f.name
		fd, inode, err := openInode(path)
		if err != nil {
			continue
		}
		if fd >= most {
			unix.Close(fd)
			fd = -1
		}
		c.files = append(c.files, openFile{path: path, inode: inode, fields: f.fields, fd: fd})
	}
	return c, ""
}

// isLimited reports whether the file has a limit.
func (m *Meter) isLimited(path string) bool {
	data, err := m.read(path)
	return err != nil || len(data) == 0 || data[0] != noLimit
}

// quantities returns what the files of the cgroup are about.
func (c *cgroup) quantities() (set fact.Set) {
	for i := range c.files {
		for _, f := range c.files[i].fields {
			set |= 1 << f.quantity
		}
	}
	return set
}

// pauseLost pauses the counters of cgroups that are not the sandbox's own any more: what they count
// until they are its own again is not the sandbox's.
func (a *Account) pauseLost(before []*cgroup) {
	for _, c := range before {
		if slices.ContainsFunc(a.cgroups, func(now *cgroup) bool { return now.inode == c.inode && now.dir == c.dir }) {
			continue
		}
		for q, set := fact.Quantity(0), c.quantities(); q < fact.Quantities; q++ {
			if set.Has(q) {
				a.counters[q].paused = true
			}
		}
	}
}

func (a *Account) lack(r fact.Reason) {
	if !slices.Contains(a.lacks, r) {
		a.lacks = append(a.lacks, r)
	}
}
