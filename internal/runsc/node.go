package runsc

import (
	"cmp"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Close must return even if a sandbox does not end. deleteTimeout is for runsc to delete the
// containers, killTimeout for the kernel to kill the remaining processes.
const (
	deleteTimeout = 40 * time.Second
	killTimeout   = 10 * time.Second
)

// ErrLeftBehind is the error of a Close that could not remove everything.
var ErrLeftBehind = errors.New("cleanup incomplete")

// A Config configures a Node.
type Config struct {
	// Runsc is the path of the runsc program; see Find. It is called with its ReleaseFlags.
	Runsc string
	// Program is the path of the static program that containers run. It is copied.
	Program string
	// Flags are additional flags of runsc for every command; the last of two equal flags wins.
	Flags []string
	// TempDir is the parent of the node's directory; empty means os.TempDir().
	TempDir string
}

// A Node is a runtime root with its containers. It keeps no list of containers: the runtime root is
// the only source. Its methods are safe for concurrent use, except Close, which must be called
// last.
type Node struct {
	runsc string
	flags []string
	dir   string
}

// NewNode returns a node without containers. Call Close when it is no longer needed.
func NewNode(conf Config) (*Node, error) {
	if err := checkStatic(conf.Program); err != nil {
		return nil, err
	}
	dir, err := makeTempDir(conf.TempDir)
	if err != nil {
		return nil, err
	}
	n := &Node{runsc: conf.Runsc, flags: slices.Concat(ReleaseFlags(conf.Runsc), conf.Flags), dir: dir}
	if err := n.populate(conf.Program); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return n, nil
}

// makeTempDir makes a directory and returns its path without symbolic links, as the kernel shows it
// in mounts and command lines.
func makeTempDir(parent string) (string, error) {
	parent, err := filepath.EvalSymlinks(cmp.Or(parent, os.TempDir()))
	if err != nil {
		return "", err
	}
	parent, err = filepath.Abs(parent)
	if err != nil {
		return "", err
	}
	return os.MkdirTemp(parent, "sandmeter-")
}

// populate makes the directories of the node and the root filesystem that all containers share.
func (n *Node) populate(program string) error {
	if err := checkExec(n.dir); err != nil {
		return err
	}
	for _, dir := range []string{n.Root(), n.rootfs(), n.path("bundles"), n.path("output"), n.path("images")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	return copyProgram(filepath.Join(n.rootfs(), ProgramPath), program)
}

// Dir returns the absolute path of the node's directory, which Close removes.
func (n *Node) Dir() string { return n.dir }

// Root returns the path of the runtime root.
func (n *Node) Root() string { return n.path("root") }

func (n *Node) rootfs() string { return n.path("rootfs") }

func (n *Node) path(name string) string { return filepath.Join(n.dir, name) }

// Close deletes all containers, waits until their processes have ended, and removes the node's
// directory. It returns within a minute. Its only error is ErrLeftBehind, wrapped, if something
// could not be removed.
func (n *Node) Close() error {
	// Delete the containers with runsc first. Then remove the rest by force, for example the
	// processes of a runsc that was killed. The error of runsc matters only if that fails too.
	deleteErr := n.deleteAll()
	if err := n.remove(); err != nil {
		return fmt.Errorf("%w: %s", ErrLeftBehind, strings.ReplaceAll(errors.Join(err, deleteErr).Error(), "\n", "; "))
	}
	return nil
}

// remove kills the remaining processes of the node and removes its directory.
func (n *Node) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), killTimeout)
	defer cancel()
	if err := n.endProcesses(ctx); err != nil {
		return err
	}
	// Unmount first: removing through a mount would remove the mounted files.
	if err := unmountBelow(n.dir); err != nil {
		return err
	}
	return os.RemoveAll(n.dir)
}

// checkStatic returns an error unless the program can run in a root filesystem with no other files.
func checkStatic(program string) error {
	file, err := elf.Open(program)
	if err != nil {
		return fmt.Errorf("program for the sandbox: %w", err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("program for the sandbox: %s is linked dynamically; build it with CGO_ENABLED=0", program)
		}
	}
	return nil
}

// checkExec returns an error unless programs can be run from dir: on a file system mounted noexec,
// sandboxes do not start, without an error that explains it.
func checkExec(dir string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("statfs %s: %w", dir, err)
	}
	if fs.Flags&unix.ST_NOEXEC != 0 {
		return fmt.Errorf("%s is on a file system mounted noexec; set TMPDIR to a directory on another file system", dir)
	}
	return nil
}

func copyProgram(to, from string) error {
	program, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, program, 0o755)
}
