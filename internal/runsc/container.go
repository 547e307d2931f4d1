package runsc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Create creates a container without starting its program; see Start.
func (n *Node) Create(ctx context.Context, c Container) error {
	return n.launch(ctx, c, "create")
}

// Run creates a container and starts its program.
func (n *Node) Run(ctx context.Context, c Container) error {
	return n.launch(ctx, c, "run", "-detach")
}

// RunToEnd runs a container until its program has ended, and deletes it. The error tells its exit
// status, unless that is 0.
func (n *Node) RunToEnd(ctx context.Context, c Container) error {
	return n.launch(ctx, c, "run")
}

// Restore restores a container from an image of Checkpoint. The container is created, unless it was
// created and not started before.
func (n *Node) Restore(ctx context.Context, c Container, image string) error {
	return n.launch(ctx, c, "restore", "-detach", "-image-path", image)
}

// launch runs a command that creates a container from a bundle.
func (n *Node) launch(ctx context.Context, c Container, command ...string) error {
	bundle, err := c.writeBundle(n.path("bundles"), n.rootfs())
	if err != nil {
		return err
	}
	return n.invoke(ctx, c.flags(), c.ID, append(command, "-bundle", bundle, c.ID)...)
}

// Start starts the program of a created container.
func (n *Node) Start(ctx context.Context, id string) error {
	return n.on(ctx, id, "start", id)
}

// Pause stops the processes of a container until Resume.
func (n *Node) Pause(ctx context.Context, id string) error {
	return n.on(ctx, id, "pause", id)
}

// Resume resumes a paused container.
func (n *Node) Resume(ctx context.Context, id string) error {
	return n.on(ctx, id, "resume", id)
}

// Checkpoint saves a container to an image and ends the container. The image is a directory that
// Close removes. A container restored from it may have the same ID once this one is deleted.
func (n *Node) Checkpoint(ctx context.Context, id string) (image string, err error) {
	image, err = os.MkdirTemp(n.path("images"), "")
	if err != nil {
		return "", err
	}
	return image, n.on(ctx, id, "checkpoint", "-image-path", image, id)
}

// Kill sends a signal to the first process of a container.
func (n *Node) Kill(ctx context.Context, id string, signal unix.Signal) error {
	return n.on(ctx, id, "kill", id, strconv.Itoa(int(signal)))
}

// Exec runs the node's program in a container, as a further process, and returns when it has ended.
func (n *Node) Exec(ctx context.Context, id string, args ...string) error {
	return n.on(ctx, id, append([]string{"exec", id, ProgramPath}, args...)...)
}

// Delete ends a container, removes it from the runtime root, and returns when its processes have
// ended. Delete the containers of a pod before its sandbox. runsc refuses to delete a container
// while other IDs begin with its ID, since it accepts abbreviated IDs.
func (n *Node) Delete(ctx context.Context, id string) error {
	s, err := n.state(id)
	if err != nil {
		return err
	}
	processes := n.hold(s.processes())
	defer processes.release()
	if err := n.on(ctx, id, "delete", "-force", id); err != nil {
		return err
	}
	return processes.wait(ctx)
}

// Pid returns the process ID of a container's sandbox on this machine.
func (n *Node) Pid(id string) (int, error) {
	s, err := n.state(id)
	return s.Sandbox.Pid, err
}

// Status returns a container's status in the runtime root, such as "running".
func (n *Node) Status(id string) (string, error) {
	s, err := n.state(id)
	return s.Status, err
}

// on runs a command on an existing container. It fails unless one with exactly this ID exists: runsc would
// accept an abbreviation.
func (n *Node) on(ctx context.Context, id string, args ...string) error {
	if _, err := n.stateFile(id); err != nil {
		return err
	}
	return n.invoke(ctx, nil, id, args...)
}

// deleteAll deletes all containers.
func (n *Node) deleteAll() error {
	ctx, cancel := context.WithTimeout(context.Background(), deleteTimeout)
	defer cancel()
	paths, err := filepath.Glob(n.statePath("*", "*"))
	if err != nil {
		return err
	}
	var containers, sandboxes []string
	for _, path := range paths {
		id, sandbox, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".state"), "_sandbox:")
		if id == sandbox {
			sandboxes = append(sandboxes, id)
		} else {
			containers = append(containers, id)
		}
	}
	// The containers of a pod before its sandbox, and long IDs before their prefixes.
	longest := func(a, b string) int { return len(b) - len(a) }
	slices.SortFunc(containers, longest)
	slices.SortFunc(sandboxes, longest)
	var errs []error
	for _, id := range slices.Concat(containers, sandboxes) {
		errs = append(errs, n.Delete(ctx, id))
	}
	return errors.Join(errs...)
}

// statePath returns the path of a container's state file.
func (n *Node) statePath(id, sandbox string) string {
	return filepath.Join(n.Root(), id+"_sandbox:"+sandbox+".state")
}

// stateFile returns the path of the state file of the container with exactly this ID.
func (n *Node) stateFile(id string) (string, error) {
	paths, err := filepath.Glob(n.statePath(id, "*"))
	if err != nil || len(paths) == 0 {
		return "", cmp.Or(err, fmt.Errorf("container %q: %w", id, fs.ErrNotExist))
	}
	return paths[0], nil
}

// containerState is the part of a state file that this package needs.
type containerState struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	GoferPid int    `json:"goferPid"`
	Sandbox  struct {
		ID  string `json:"id"`
		Pid int    `json:"pid"`
	} `json:"sandbox"`
}

// processes returns the IDs of the processes that end with the container.
func (s containerState) processes() []int {
	pids := []int{s.GoferPid}
	if s.ID == s.Sandbox.ID {
		pids = append(pids, s.Sandbox.Pid)
	}
	// 0 means that the process is gone.
	return slices.DeleteFunc(pids, func(pid int) bool { return pid <= 0 })
}

// state reads the state file of a container. No runsc command may be changing it.
func (n *Node) state(id string) (containerState, error) {
	var s containerState
	path, err := n.stateFile(id)
	if err != nil {
		return s, err
	}
	doc, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(doc, &s); err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}
