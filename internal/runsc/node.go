package runsc

import (
	"cmp"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Close has to end, also where a sandbox does not: this is for runsc to delete the containers, and then for the kernel to end what is
// left of them.
const (
	deleteTimeout = 40 * time.Second
	killTimeout   = 10 * time.Second
)

// ErrLeftBehind says that something of a node is still there after Close.
var ErrLeftBehind = errors.New("something stays behind")

// Config says what a Node runs, and with what.
type Config struct {
	// Runsc is the path of the runsc program; see Find.
	Runsc string
	// Program is the path of the static program that containers run. It is copied.
	Program string
	// Flags are further flags of runsc for every command; the last of two equal flags wins.
	Flags []string
	// TempDir is the folder to make the node's own in; empty means os.TempDir().
	TempDir string
}

// Node is a runtime root of its own, and the containers in it. It keeps no list of them: what the runtime root holds is the truth.
// Its methods may be called concurrently, but for Close, which wants to be the last.
type Node struct {
	runsc string
	flags []string
	dir   string
}

// NewNode makes a node without containers. Close ends it.
func NewNode(conf Config) (*Node, error) {
	if err := checkStatic(conf.Program); err != nil {
		return nil, err
	}
	dir, err := makeTempDir(conf.TempDir)
	if err != nil {
		return nil, err
	}
	n := &Node{runsc: conf.Runsc, flags: conf.Flags, dir: dir}
	if err := n.furnish(conf.Program); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return n, nil
}

// makeTempDir makes a folder whose path is the one that the kernel shows, in mounts and command lines.
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

// furnish makes the node's folders and the root filesystem that all containers share.
func (n *Node) furnish(program string) error {
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

// Dir is the node's folder, an absolute path. What is put into it goes at Close.
func (n *Node) Dir() string { return n.dir }

// Root is the node's runtime root.
func (n *Node) Root() string { return n.path("root") }

func (n *Node) rootfs() string { return n.path("rootfs") }

func (n *Node) path(name string) string { return filepath.Join(n.dir, name) }

// Close deletes all containers, waits until their processes have ended, and removes the node's folder. It returns within a minute, and
// an error, one with ErrLeftBehind, only if something stays behind.
func (n *Node) Close() error {
	// runsc cleans up best, so it goes first. What it could not, or never knew of because it was ended itself, ends by force: then its
	// error is worth a word only if that fails too.
	deleteErr := n.deleteAll()
	if err := n.remove(); err != nil {
		return fmt.Errorf("%w: %w", ErrLeftBehind, oneLine{errors.Join(err, deleteErr)})
	}
	return nil
}

// remove ends what still runs on the node and removes its folder.
func (n *Node) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), killTimeout)
	defer cancel()
	if err := n.endProcesses(ctx); err != nil {
		return err
	}
	// Removing through a mount would remove what is mounted.
	if err := unmountBelow(n.dir); err != nil {
		return err
	}
	return os.RemoveAll(n.dir)
}

// oneLine is an error of several, told in one line.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.ReplaceAll(e.error.Error(), "\n", "; ") }
func (e oneLine) Unwrap() error { return e.error }

// checkStatic tells whether a program can run in a root filesystem that holds nothing else.
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

// checkExec tells whether programs can be run from dir: from a file system that forbids it, sandboxes do not start and runsc does not
// say why.
func checkExec(dir string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("statfs %s: %w", dir, err)
	}
	if fs.Flags&unix.ST_NOEXEC != 0 {
		return fmt.Errorf("%s is on a file system mounted noexec; set TMPDIR to a folder on another", dir)
	}
	return nil
}

func copyProgram(to, from string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		return err
	}
	return dst.Close()
}
