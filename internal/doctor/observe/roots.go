package observe

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/doctor"
	"github.com/sandmeter/sandmeter/internal/guard"
	"github.com/sandmeter/sandmeter/internal/trust"
)

// lookLimit is how long a look at a directory may take. A file system that hangs never answers.
const lookLimit = time.Second

// roots returns the runtime roots for the server in this process: those that the user named or, if there
// are none, the usual ones and those that processes name.
func (n *node) roots() []string {
	if n.RootsGiven {
		return n.Options.Roots
	}
	paths := slices.Clone(n.UsualRoots)
	for _, p := range n.Processes {
		if p.HasStateFile != nil && !slices.Contains(paths, p.Root) {
			paths = append(paths, p.Root)
		}
	}
	return paths
}

// checkDir returns nil if root and this user are the only ones who can change a directory.
func checkDir(path string) error {
	who, err := trust.Writers(path, os.Geteuid())
	if who != "" {
		err = errors.New(who)
	}
	return err
}

// A stateFile is the result of looking for a state file.
type stateFile struct {
	root    error // why it cannot be told
	exists  bool
	changed time.Time
}

// findStateFile looks for the state file of a sandbox, in a runtime root that nobody else can change.
func findStateFile(root, id string) (found stateFile) {
	if found.root = checkDir(root); found.root != nil {
		return found
	}
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return stateFile{root: err}
	}
	defer unix.Close(dir)
	var st unix.Stat_t
	switch err := unix.Fstatat(dir, id+"_sandbox:"+id+".state", &st, unix.AT_SYMLINK_NOFOLLOW); err {
	case nil:
		return stateFile{exists: true, changed: time.Unix(st.Mtim.Unix())}
	case unix.ENOENT:
		return stateFile{}
	default:
		return stateFile{root: err}
	}
}

// lookForStateFiles records which processes have a state file, and the runtime roots where it cannot be
// told.
func (n *node) lookForStateFiles() {
	paths := make([]string, len(n.Processes))
	for i := range n.Processes {
		paths[i] = n.Processes[i].Root
	}
	n.NotExamined = []doctor.Root{}
	files := guard.Each(n.guard, lookLimit, paths, func(i int, _ guard.Progress) stateFile { return findStateFile(paths[i], n.Processes[i].Sandbox) })
	for i := range n.Processes {
		p := &n.Processes[i]
		found, answered := files[i]
		if !answered {
			found.root = errors.New("its file system does not answer")
		}
		p.HasStateFile, p.Since = &found.exists, found.changed
		if found.root == nil {
			continue
		}
		p.HasStateFile = nil
		if !slices.ContainsFunc(n.NotExamined, func(r doctor.Root) bool { return r.Path == p.Root }) {
			n.NotExamined = append(n.NotExamined, doctor.Root{Path: p.Root, Why: found.root.Error()})
		}
	}
}

// lookAgain forgets the processes that have ended meanwhile, or whose state files have come or gone, and
// records which processes of sandboxes without metrics are stopped.
func (n *node) lookAgain() {
	before := slices.Clone(n.Processes)
	n.lookForStateFiles()
	for i := range n.Processes {
		p, earlier := &n.Processes[i], before[i].HasStateFile
		now, ok := parseSandbox(n.read(p.PID, "cmdline"))
		if !ok || now.Sandbox != p.Sandbox || earlier == nil || p.HasStateFile == nil || *earlier != *p.HasStateFile {
			p.HasStateFile = nil
		}
	}
	for _, s := range n.Observed.Sandboxes() {
		if s.PID != nil && s.QueryStatus == "failed" && n.Sees(s.Server) {
			if why := n.stopped(*s.PID); why != "" {
				n.Stopped[*s.PID] = why
			}
		}
	}
}

// wants reports whether a runtime root is to be examined.
func (n *node) wants(path string) bool {
	return !n.RootsGiven || slices.ContainsFunc(n.Options.Roots, func(glob string) bool {
		matches, _ := filepath.Match(glob, path)
		return matches || glob == path
	})
}
