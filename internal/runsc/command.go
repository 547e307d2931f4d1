package runsc

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// CommandTimeout bounds every call of the runsc program. It is far more than any takes: a sandbox starts in a tenth of a second.
const CommandTimeout = 30 * time.Second

// tailBytes is how much of what runsc printed last goes into an error.
const tailBytes = 1024

// command runs `runsc flags… command… id`.
func (n *Node) command(ctx context.Context, flags []string, id string, command ...string) error {
	return n.invoke(ctx, flags, id, append(command, id)...)
}

// invoke runs `runsc flags… args…` to its end, for the container id. What it and the container print goes to a file of the container,
// and its new tail into the error.
func (n *Node) invoke(ctx context.Context, flags []string, id string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, CommandTimeout)
	defer cancel()
	// A file, not a pipe: a container outlives the command that made it and keeps its output open.
	output, err := os.OpenFile(filepath.Join(n.path("output"), id), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer output.Close()
	start, err := output.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	words := []string{n.rootFlag(), "--platform=systrap", "--network=none", "--ignore-cgroups"}
	words = append(append(append(words, n.flags...), flags...), args...)
	cmd := exec.CommandContext(ctx, n.runsc, words...)
	cmd.Stdout, cmd.Stderr = output, output
	// A session of its own: Ctrl-C at the terminal is for our own program, which then ends all in good order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("runsc %s %s: %w%s", args[0], id, err, tail(output, start))
	}
	return nil
}

// rootFlag is a word that all processes of the node have on their command line.
func (n *Node) rootFlag() string { return "--root=" + n.Root() }

// tail returns the last lines of what was written to file from the offset start on, in the form that ends an error: ": …". A container
// may have written them, so nothing in them reaches a terminal but what can be printed.
func tail(file *os.File, start int64) string {
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil || end <= start {
		return ""
	}
	text := make([]byte, min(end-start, tailBytes))
	if _, err := file.ReadAt(text, end-int64(len(text))); err != nil {
		return ""
	}
	printable := func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}
	return ": " + strings.Join(strings.Fields(strings.Map(printable, string(text))), " ")
}
