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

// CommandTimeout limits every call of the runsc program. Calls are much faster: a sandbox starts in
// a tenth of a second.
const CommandTimeout = 30 * time.Second

// tailBytes limits the part of runsc's output that is included in an error.
const tailBytes = 1024

// invoke runs `runsc flags… args…` for the container id and waits for it. The output of runsc and
// the container goes to a file per container. An error includes the end of the new output.
func (n *Node) invoke(ctx context.Context, flags []string, id string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, CommandTimeout)
	defer cancel()
	// A file, not a pipe: the container outlives the command and keeps its output open.
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
	// A new session, so that Ctrl-C at the terminal signals only this program, which then cleans
	// up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("runsc %s %s: %w%s", args[0], id, err, tail(output, start))
	}
	return nil
}

// rootFlag returns the flag that all processes of the node have on their command lines.
func (n *Node) rootFlag() string { return "--root=" + n.Root() }

// tail returns the last output in file after the offset start, in the form ": …" for the end of an
// error. A container may have written it, so only printable characters are kept.
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
