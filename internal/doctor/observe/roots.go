package observe

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/doctor"
	"github.com/sandmeter/sandmeter/internal/guard"
	"github.com/sandmeter/sandmeter/internal/trust"
)

// lookLimit is how long a look at a directory may take. A file system that hangs never answers.
const lookLimit = time.Second

// checkDir returns nil if root and this user are the only ones who can change a directory.
func checkDir(path string) error {
	who, err := trust.Writers(path, os.Geteuid())
	if who != "" {
		err = errors.New(who)
	}
	return err
}

// examineRoots finds out which runtime roots of processes nobody else can change.
func (n *node) examineRoots() {
	var paths []string
	for _, p := range n.Processes {
		if !slices.Contains(paths, p.Root) {
			paths = append(paths, p.Root)
		}
	}
	checked := guard.Each(n.guard, lookLimit, paths, func(i int, _ guard.Progress) error {
		if err := checkDir(paths[i]); err != nil {
			return err
		}
		_, err := os.Stat(paths[i] + "/.") // an error if it is no directory
		return err
	})
	for i, path := range paths {
		err, answered := checked[i]
		if !answered {
			err = errors.New("its file system does not answer")
		}
		if err == nil {
			n.examined = append(n.examined, path)
		} else {
			n.NotExamined = append(n.NotExamined, doctor.Root{Path: path, Why: err.Error()})
		}
	}
}

// roots returns the runtime roots for the server in this process: those that the user named or, if there
// are none, the usual ones and those that processes name.
func (n *node) roots() []string {
	if n.RootsGiven {
		return n.Options.Roots
	}
	return slices.Concat(n.UsualRoots, n.examined)
}

// lookForStateFiles records which processes that still run have a state file.
func (n *node) lookForStateFiles() {
	var of []*doctor.Process
	var paths []string
	for i := range n.Processes {
		if p := &n.Processes[i]; slices.Contains(n.examined, p.Root) {
			of, paths = append(of, p), append(paths, filepath.Join(p.Root, p.Sandbox+"_sandbox:"+p.Sandbox+".state"))
		}
	}
	type file struct {
		info fs.FileInfo
		err  error
	}
	files := guard.Each(n.guard, lookLimit, paths, func(i int, _ guard.Progress) file {
		info, err := os.Lstat(paths[i])
		return file{info, err}
	})
	for i, p := range of {
		found, answered := files[i]
		now, runs := parseSandbox(n.read(p.PID, "cmdline"))
		switch {
		case !answered || !runs || now.Sandbox != p.Sandbox:
		case found.err == nil:
			p.HasStateFile, p.Since = new(true), found.info.ModTime()
		case errors.Is(found.err, fs.ErrNotExist):
			p.HasStateFile = new(false)
		}
	}
}

// lookForStopped records which processes of sandboxes without metrics are stopped.
func (n *node) lookForStopped() {
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
