package observe

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sandmeter/sandmeter/internal/doctor"
	"github.com/sandmeter/sandmeter/internal/guard"
	"github.com/sandmeter/sandmeter/internal/roots"
	"github.com/sandmeter/sandmeter/internal/trust"
)

// findRoots finds the runtime roots to examine. A directory with several names is examined once, by
// its first name. Those that the user gave, that are usual, and that servers have are before those
// in command lines of runsc, which any user may have chosen.
func (n *node) findRoots(ctx context.Context) {
	found := finder{guard: n.guard, seen: make(map[inode]bool)}
	for _, path := range n.Roots {
		found.add(path, doctor.Given, 0)
	}
	if len(n.Roots) == 0 {
		for _, glob := range n.UsualRoots {
			found.add(glob, doctor.Usual, 0)
		}
		n.findNamed(ctx, &found)
	}
	found.limit()
	n.observed.Roots, n.observed.MaxRoots = found.roots, roots.MaxRoots
	for i := range n.observed.Servers {
		n.nameRoots(&n.observed.Servers[i].Settings)
	}
	n.nameRoots(&n.Settings)
}

// findNamed adds the runtime roots in command lines, each text once: those of servers first.
func (n *node) findNamed(ctx context.Context, found *finder) {
	named := make(map[string]bool)
	for _, origin := range []doctor.Origin{doctor.Usual, doctor.OfServer, doctor.OfProcess} {
		for _, r := range n.named {
			if r.origin != origin || named[r.path] {
				continue
			}
			if named[r.path] = true; ctx.Err() != nil {
				n.incomplete("runtime roots: no time was left to look at all of them")
				return
			}
			found.add(r.path, r.origin, r.pid)
		}
	}
}

// nameRoots takes note of the runtime roots that the settings of a server have by another path.
func (n *node) nameRoots(set *doctor.Settings) {
	var configured []fs.FileInfo
	for _, path := range set.Roots {
		for _, dir := range directories(n.guard, path) {
			if dir := lookAt(n.guard, dir); dir.err == nil {
				configured = append(configured, dir.info)
			}
		}
	}
	for _, path := range n.examinedRoots() {
		dir := lookAt(n.guard, path)
		isSame := func(other fs.FileInfo) bool { return os.SameFile(dir.info, other) }
		if dir.err == nil && !set.Has(path) && slices.ContainsFunc(configured, isSame) {
			set.SameRoots = append(set.SameRoots, path)
		}
	}
}

// directories returns what a runtime root in the settings of a server matches. A glob that would
// not be examined matches nothing.
func directories(g *guard.Guard, path string) []string {
	switch {
	case !roots.IsGlob(path):
		return []string{path}
	case unsafeGlob(path) != "":
		return nil
	}
	return matching(g, path)
}

// lookLimit is how long a look at a directory may take. A file system that hangs does not answer at all.
const lookLimit = time.Second

var errHung = errors.New("its file system does not answer")

// A directory has the facts about the directory of a runtime root.
type directory struct {
	info     fs.FileInfo
	err      error
	writers  error // why it is not trusted; nil: it is
	occupied bool  // it has state files
}

// lookAt looks at a directory. One on a file system that does not answer is an error.
func lookAt(g *guard.Guard, path string) directory {
	found := guard.Each(g, lookLimit, []string{path}, func(int, guard.Progress) directory {
		var d directory
		if d.info, d.err = os.Stat(path); d.err != nil {
			return d
		}
		who, err := trust.Writers(path, os.Geteuid())
		if d.writers = err; who != "" {
			d.writers = errors.New(who)
		}
		d.occupied = roots.HasSandboxes(path)
		return d
	})
	if d, answered := found[0]; answered {
		return d
	}
	return directory{err: errHung}
}

// matching returns the paths that a glob matches.
func matching(g *guard.Guard, glob string) []string {
	return guard.Each(g, lookLimit, []string{roots.FixedDir(glob)}, func(int, guard.Progress) []string {
		matches, _ := filepath.Glob(glob) // an invalid glob matches nothing
		return matches
	})[0]
}

// A finder collects runtime roots.
type finder struct {
	guard   *guard.Guard
	roots   []doctor.Root
	seen    map[inode]bool
	skipped int // those of processes that are not examined
}

// An inode identifies a directory.
type inode struct{ device, number uint64 }

func inodeOf(info fs.FileInfo) inode {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return inode{uint64(st.Dev), st.Ino}
	}
	return inode{}
}

// maxSkipped limits how many runtime roots of processes are listed that are not examined.
const maxSkipped = 1000

// keep keeps a runtime root.
func (f *finder) keep(r doctor.Root) {
	if r.Origin == doctor.OfProcess && !examined(&r) {
		if f.skipped++; f.skipped > maxSkipped {
			return
		}
	}
	f.roots = append(f.roots, r)
}

// limit leaves out the roots for which there is no room. Those with sandboxes stay, if there is
// room for all of them. Without room, those that have none do not matter, as to a server.
func (f *finder) limit() {
	room := roots.MaxRoots
	fits := func() bool { room--; return room >= 0 }
	full := make(map[string]bool)
	for i := range f.roots {
		if r := &f.roots[i]; examined(r) && lookAt(f.guard, r.Path).occupied {
			full[r.Path] = true
			r.LeftOut = !fits()
		}
	}
	f.roots = slices.DeleteFunc(f.roots, func(r doctor.Root) bool { return examined(&r) && !full[r.Path] && !fits() })
}

// add adds a directory, or what a glob matches.
func (f *finder) add(path string, origin doctor.Origin, pid int) {
	if !roots.IsGlob(path) {
		f.addDir(path, origin, pid)
		return
	}
	if ofProcess(origin) {
		if why := unsafeGlob(path); why != "" {
			f.keep(doctor.Root{Path: path, Origin: origin, PID: pid, Untrusted: why})
			return
		}
	}
	for _, match := range matching(f.guard, path) {
		if d := lookAt(f.guard, match); d.err == errHung || d.err == nil && d.info.IsDir() {
			f.addDir(match, origin, pid)
		}
	}
}

// ofProcess reports whether the command line of a process named a root, which any user may have
// chosen.
func ofProcess(origin doctor.Origin) bool {
	return origin == doctor.OfProcess || origin == doctor.OfServer
}

// unsafeGlob says why a glob that a process names is not expanded, or is empty. With wildcards in
// one directory after another, such as /proc/*/root/proc/*/root, a short text has billions of matches.
func unsafeGlob(path string) string {
	dir := filepath.Dir(path)
	if roots.IsGlob(dir) {
		return "it has wildcards in more than its last part"
	}
	who, err := trust.Writers(dir, os.Geteuid())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err.Error()
	}
	return who
}

func (f *finder) addDir(path string, origin doctor.Origin, pid int) {
	if slices.ContainsFunc(f.roots, func(r doctor.Root) bool { return r.Path == path }) {
		return
	}
	root := doctor.Root{Path: path, Origin: origin, PID: pid}
	d := lookAt(f.guard, path)
	switch {
	case errors.Is(d.err, fs.ErrNotExist):
		if origin == doctor.Usual {
			return
		}
		root.Missing, root.Err = true, d.err.Error()
	case d.err != nil:
		root.Err, root.Denied = d.err.Error(), errors.Is(d.err, fs.ErrPermission)
	case f.seen[inodeOf(d.info)]:
		return
	case ofProcess(origin) && d.writers != nil:
		root.Untrusted = d.writers.Error()
	}
	if examined(&root) {
		f.seen[inodeOf(d.info)] = true
		// Every user can name any directory of root. One without sandboxes is no runtime root that
		// matters, and takes no place of one that does.
		if origin == doctor.OfProcess && !d.occupied {
			return
		}
	}
	f.keep(root)
}

// examined reports whether the sandboxes of a root are examined.
func examined(r *doctor.Root) bool {
	return r.Err == "" && !r.Missing && r.Untrusted == "" && !r.LeftOut
}

// maxFinalLogs limits how many directories of final metrics logs are observed.
const maxFinalLogs = 64

// finalLogs observes the directories of final metrics logs.
func (n *node) finalLogs() {
	var patterns []string
	for _, r := range n.observed.Runscs {
		if slices.ContainsFunc(n.observed.Sandboxes, func(s doctor.Sandbox) bool { return s.PID == r.PID }) {
			patterns = append(patterns, r.FinalMetricsLog)
		}
	}
	for _, r := range n.observed.Runtimes {
		patterns = append(patterns, r.FinalMetricsLog)
	}
	for _, s := range n.observed.Relevant() {
		patterns = append(patterns, s.Settings.FinalMetricsLog)
	}
	slices.Sort(patterns)
	for _, pattern := range slices.Compact(patterns) {
		if len(n.observed.FinalLogs) == maxFinalLogs || !filepath.IsAbs(pattern) {
			continue
		}
		d := doctor.FinalLogDir{Pattern: pattern, Dir: doctor.DirOf(pattern)}
		who, err := trust.Writers(d.Dir, 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // runsc creates a missing directory
			n.incomplete("directory of final metrics logs: " + err.Error())
		}
		d.Writers, d.Literal = who, literalFile(pattern)
		n.observed.FinalLogs = append(n.observed.FinalLogs, d)
	}
}

// literalFile returns the file that a runsc writes which does not replace the placeholder of the
// sandbox; empty: there is none. Such a runsc may replace the command.
func literalFile(pattern string) string {
	for _, path := range []string{pattern, strings.ReplaceAll(pattern, "%COMMAND%", "boot")} {
		if !strings.Contains(path, "%ID%") && !strings.Contains(path, "%CID%") {
			continue
		}
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}
