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
	tailBytes = 4 << 10 // bytes of standard error to keep
	tailLines = 5       // lines of standard error to show in an error

	// stderrDelay is how long to wait for the end of standard error after the process has ended.
	// Its child processes can hold standard error open.
	stderrDelay = 500 * time.Millisecond
)

// process is a started server. One goroutine waits for the process to end; it exits with the
// process.
type process struct {
	cmd    *exec.Cmd
	stderr tail
	ended  context.Context // done once the process is reaped; the cause is the exit reason
}

// enableRegistering is the variable with which a server lets clients register sandboxes. gVisor's own server
// ignores it, but would not know a flag.
const enableRegistering = "SANDMETER_WEB_ENABLE_REGISTRATION=true"

// startProcess starts a program in a new session. It lets clients register sandboxes unless the environment
// says otherwise.
func startProcess(program string, args []string) (*process, error) {
	p := &process{cmd: exec.Command(program, args...)}
	p.cmd.Env = append([]string{enableRegistering}, os.Environ()...) // the last one of equal names counts
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

// exitReason converts the result of Wait to an error that describes how the process ended.
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

// terminate sends SIGTERM to the process and waits until it has ended or ctx is done.
func (p *process) terminate(ctx context.Context) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("process %d: %w", p.pid(), err)
	}
	select {
	case <-p.ended.Done():
	case <-ctx.Done():
		if p.running() {
			return fmt.Errorf("process %d has not ended: %w", p.pid(), ctx.Err())
		}
	}
	return nil
}

// kill kills the process and its process group, and waits until the process is reaped.
func (p *process) kill() {
	if p.running() {
		// The process leads its group, so the group ID is its PID. If the process is reaped right
		// now, the PID is free, but the kernel does not reuse a PID before it has used all others.
		_ = syscall.Kill(-p.pid(), syscall.SIGKILL)
	}
	<-p.ended.Done()
}

// exitError returns the error for a server that ended before it was healthy.
func (p *process) exitError() error {
	return fmt.Errorf("%s ended: %w%s", p.cmd.Path, context.Cause(p.ended), p.stderrEnd())
}

// unhealthyError returns the error for a server that was not healthy in time.
func (p *process) unhealthyError(timeout, last error) error {
	if last == nil {
		last = errors.New("none was answered")
	}
	return fmt.Errorf("%s is not healthy: %w; the last health check: %v%s", p.cmd.Path, timeout, last, p.stderrEnd())
}

// stderrEnd returns the last lines of standard error, formatted as the end of an error text.
func (p *process) stderrEnd() string {
	lines := p.stderr.lastLines(tailLines)
	if len(lines) == 0 {
		return "; it wrote nothing to standard error"
	}
	return "; its standard error ends: " + strings.Join(lines, " / ")
}

// tail is a writer that keeps the last tailBytes bytes.
type tail struct {
	mu  sync.Mutex
	buf []byte
	cut bool // earlier bytes were dropped
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

// lastLines returns at most n lines, safe to print on a terminal. It skips empty lines, and the
// first line if its beginning was dropped.
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
