package metricclient

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	tailBytes = 4 << 10 // kept of a server's standard error
	tailLines = 5       // shown of it in an error

	// stderrDelay is how long the end of a process waits for the end of its standard error, which processes that it started may hold open.
	stderrDelay = 500 * time.Millisecond
)

// process is a server that was started. One goroutine waits for its end, and lives as long as it.
type process struct {
	cmd    *exec.Cmd
	stderr tail
	ended  context.Context // done when the process has ended and is reaped; its cause says how it ended
}

// startProcess starts a program in a session of its own.
func startProcess(program string, args []string) (*process, error) {
	p := &process{cmd: exec.Command(program, args...)}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	p.cmd.Stderr = &p.stderr
	p.cmd.WaitDelay = stderrDelay
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	ended, end := context.WithCancelCause(context.Background())
	p.ended = ended
	go func() { end(exitReason(p.cmd.Wait())) }()
	return p, nil
}

// exitReason returns how a process ended as an error, given what waiting for it returned.
func exitReason(err error) error {
	switch {
	case err == nil:
		return errors.New("exit status 0")
	case errors.Is(err, syscall.ECHILD):
		return errors.New("exit status unknown: another process reaped it")
	}
	return err
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) running() bool { return p.ended.Err() == nil }

// terminate asks the process to end and waits until it has, or until ctx is done.
func (p *process) terminate(ctx context.Context) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("process %d: %w", p.pid(), err)
	}
	select {
	case <-p.ended.Done():
		return nil
	case <-ctx.Done():
	}
	if !p.running() {
		return nil
	}
	return fmt.Errorf("process %d has not ended: %w", p.pid(), ctx.Err())
}

// kill ends the process, and what it started in its group, and waits until it is reaped.
func (p *process) kill() {
	if p.running() {
		// The group has the number of the process that leads it. Should that process be reaped just now, the number is free, but
		// numbers are not given again before all others were.
		_ = syscall.Kill(-p.pid(), syscall.SIGKILL)
	}
	<-p.ended.Done()
}

// exitError returns the error of a server that ended before it was healthy.
func (p *process) exitError() error {
	return fmt.Errorf("%s ended: %w%s", p.cmd.Path, context.Cause(p.ended), p.stderrEnd())
}

// unhealthyError returns the error of a server that was not healthy when time was up.
func (p *process) unhealthyError(timeout, last error) error {
	if last == nil {
		last = errors.New("none was answered")
	}
	return fmt.Errorf("%s is not healthy: %w; the last health check: %v%s", p.cmd.Path, timeout, last, p.stderrEnd())
}

// stderrEnd returns the last lines of standard error as the end of an error text.
func (p *process) stderrEnd() string {
	lines := p.stderr.lastLines(tailLines)
	if len(lines) == 0 {
		return "; it wrote nothing to standard error"
	}
	return "; its standard error ends: " + strings.Join(lines, " / ")
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
	cut bool // something was dropped
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailBytes; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
		t.cut = true
	}
	return len(p), nil
}

// lastLines returns at most n lines, fit for a terminal. Neither empty lines count nor one whose beginning is lost.
func (t *tail) lastLines(n int) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := string(t.buf)
	if _, rest, ok := strings.Cut(text, "\n"); t.cut && ok {
		text = rest
	}
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, excerpt(line))
		}
	}
	return lines[max(0, len(lines)-n):]
}
