package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sandboxTimeout and stalledTimeout are the timeouts of a sandbox that replied to the last query,
// and of a sandbox that did not.
const (
	sandboxTimeout = 2 * time.Second
	stalledTimeout = 50 * time.Millisecond
)

// wholeTime is the --sandbox-timeout of tests that measure whether a scrape waits for all of it.
// Other scrapes take a tenth of a second, so a busy machine makes no difference. It is less than
// the 5 s of a collection: otherwise a sandbox that stalls would be out of time, not stalled.
const wholeTime = 3 * time.Second

// useWholeTime sets that timeout for all servers that start later.
func (w *world) useWholeTime() { w.t.Setenv("SANDMETER_SANDBOX_TIMEOUT", wholeTime.String()) }

// processState returns the state of a process from /proc, such as "S", "T" for stopped or "Z" for a
// zombie, and "" if there is none.
func processState(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	return string(bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])[0])
}

// pid returns the PID of a sandbox.
func (w *world) pid(id string) int {
	w.t.Helper()
	pid, err := w.node.Pid(id)
	w.must(err)
	return pid
}

// kill kills a sandbox and returns the PID of the zombie: it is a child of this program, which
// reaps it when reaped is called.
func (w *world) kill(id string) (pid int) {
	w.t.Helper()
	pid = w.pid(id)
	w.must(unix.Kill(pid, unix.SIGKILL))
	w.untilGone(pid)
	if state := processState(pid); state != "Z" {
		w.t.Fatalf("process %d, killed, is in state %q", pid, state)
	}
	return pid
}

// untilGone waits until a process has ended. That takes milliseconds. Its first thread is a zombie
// before the others have ended, so /proc does not show the end.
func (w *world) untilGone(pid int) {
	w.t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return // and has been reaped
	}
	w.must(err)
	defer unix.Close(fd)
	w.until(func() error {
		if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0); n == 0 {
			return fmt.Errorf("process %d has not ended", pid)
		}
		return nil
	})
}

// reaped reaps a zombie.
func (w *world) reaped(pid int) {
	w.t.Helper()
	if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
		w.t.Fatalf("reaping process %d: %v", pid, err)
	}
	if state := processState(pid); state != "" {
		w.t.Fatalf("process %d, reaped, is in state %q", pid, state)
	}
}

// stopSandbox stops a sandbox with SIGSTOP. goOn continues it, and so does the end of the test.
func (w *world) stopSandbox(id string) (goOn func()) {
	w.t.Helper()
	pid := w.pid(id)
	goOn = func() {
		w.t.Helper()
		w.must(unix.Kill(pid, unix.SIGCONT))
	}
	w.must(unix.Kill(pid, unix.SIGSTOP))
	w.t.Cleanup(func() { _ = unix.Kill(pid, unix.SIGCONT) })
	w.until(func() error {
		if state := processState(pid); state != "T" {
			return fmt.Errorf("process %d, stopped, is in state %q", pid, state)
		}
		return nil
	})
	return goOn
}

// timed scrapes and returns the duration too.
func (w *world) timed() (page, time.Duration) {
	w.t.Helper()
	begin := time.Now()
	p := w.scrape()
	return p, time.Since(begin)
}

func TestKilledSandboxDoesNotRunAtTheNextScrape(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("lives", "idle")
	w.start("killed", "busy")
	w.serve()
	w.scrape().wantLives(t, []string{"killed", "lives"}, nil)
	pid := w.kill("killed")
	w.scrape().wantLives(t, []string{"lives"}, []string{"killed"}) // a zombie that is not reaped
	w.scrape().wantLives(t, []string{"lives"}, []string{"killed"})
	w.reaped(pid)
	w.scrape().wantLives(t, []string{"lives"}, []string{"killed"})
	w.remove("killed")
	w.scrape().wantLives(t, []string{"lives"}, nil)
}

// The scrape stops waiting for a sandbox that dies. On the page it is neither running nor broken.
func TestSandboxKilledWhileItIsAsked(t *testing.T) {
	w := newWorld(t)
	w.start("lives", "idle")
	w.start("killed", "idle")
	w.useWholeTime()
	w.serve()
	w.scrape().wantLives(t, []string{"killed", "lives"}, nil)
	p, took := w.scrapeDuringWhichDies("killed")
	if took >= wholeTime {
		t.Errorf("the scrape took %v, the sandbox was killed after %v", took, dyingAfter)
	}
	p.wantLives(t, []string{"lives"}, []string{"killed"})
	w.scrape().wantLives(t, []string{"lives"}, []string{"killed"})
}

// dyingAfter has the times in a scrape at which a sandbox is killed.
const dyingAfter = 200 * time.Millisecond

// scrapeDuringWhichDies scrapes, and kills a sandbox during its query. It also returns the duration
// of the scrape.
func (w *world) scrapeDuringWhichDies(id string) (page, time.Duration) {
	w.t.Helper()
	pid := w.pid(id)
	w.stopSandbox(id)
	killed := make(chan error, 1)
	time.AfterFunc(dyingAfter, func() { killed <- unix.Kill(pid, unix.SIGKILL) })
	p, took := w.timed()
	w.must(<-killed)
	w.kill(id) // until it has ended
	return p, took
}

// untilLives scrapes until all sandboxes have values again, and returns the number of scrapes. A
// sandbox that was stopped has 50 ms for its first reply, which can be too little on a slow
// machine.
func (w *world) untilLives(running ...string) (scrapes int) {
	w.t.Helper()
	w.until(func() error {
		scrapes++
		p := w.scrape()
		if broken, _ := p.value("runsc_meta_num_sandboxes_broken_metrics"); broken > 0 {
			return fmt.Errorf("%v sandboxes have no metrics", broken)
		}
		p.wantLives(w.t, running, nil)
		return nil
	})
	return scrapes
}

// Stopped sandboxes lose their own values, not those of others. The first scrape waits the whole
// timeout, for any number of stopped sandboxes. Later scrapes wait 50 ms, and none once the
// sandboxes go on. Each reply then doubles the time of the next stall.
func TestStoppedSandboxes(t *testing.T) {
	w := newWorld(t)
	w.start("good", "idle")
	stopped := []string{"still-0", "still-1", "still-2"}
	for _, id := range stopped {
		w.start(id, "idle")
	}
	w.useWholeTime()
	w.serve()
	all := append([]string{"good"}, stopped...)
	w.scrape().wantLives(t, all, nil)
	open := w.descriptors()
	without := func(p page) {
		t.Helper()
		p.wantValue(t, 1, alwaysThere, "sandbox", "good")
		p.wantValue(t, 4, "runsc_meta_num_sandboxes_running")
		p.wantValue(t, 3, "runsc_meta_num_sandboxes_broken_metrics")
		for _, id := range stopped {
			p.wantNone(t, alwaysThere, "sandbox", id)
			p.wantValue(t, 1, "runsc_meta_sandbox_failure", "sandbox", id, "reason", "stalled")
		}
	}
	atLeast, replies := wholeTime, 0
	for _, scrapes := range []int{20, 1} {
		var goOn []func()
		for _, id := range stopped {
			goOn = append(goOn, w.stopSandbox(id))
		}
		p, took := w.timed()
		without(p)
		// Each reply doubles the timeout. On a slow machine the sandboxes may reply often enough to
		// have the whole timeout again.
		if took < atLeast || 0 < replies && replies <= 3 && took >= wholeTime {
			t.Errorf("the first scrape took %v, after at most %d replies", took, replies)
		}
		// More requests than a stopped sandbox has room for: it queues 16.
		for range scrapes {
			p, took := w.timed()
			without(p)
			if took >= wholeTime {
				t.Errorf("a later scrape took %v", took)
			}
		}
		for _, f := range goOn {
			f()
		}
		atLeast, replies = 2*stalledTimeout, w.untilLives(all...)
	}
	w.wantDescriptors(open)
}

func TestSameIDAtOnceAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("other", "idle")
	s := w.startServer(w.metricServerArgs())
	// Every page has the values of one life of the sandbox: counters begin again, which breaks no
	// rule.
	scraping, stop := context.WithCancel(t.Context())
	broken := make(chan string, 1)
	go func() {
		defer close(broken)
		for scraping.Err() == nil {
			data, err := w.client.GetMetrics(scraping, nil)
			if scraping.Err() != nil {
				return
			}
			if err != nil || strings.Contains(string(data), "_refused") {
				broken <- fmt.Sprint(err, "\n", data)
				return
			}
		}
	}()
	seen := map[string]bool{}
	for life := range 6 {
		w.start("again", "touch", strconv.Itoa(100-10*life))
		want := stateOf(w, "again").iteration()
		if life%2 == 0 {
			p := w.scrape()
			p.wantLives(t, []string{"again", "other"}, nil)
			p.wantValue(t, 1, alwaysThere, "sandbox", "again", "iteration", want)
		}
		if seen[want] {
			t.Errorf("two lives have the iteration %s", want)
		}
		seen[want] = true
		if life%3 == 0 {
			w.kill("again")
		}
		w.remove("again")
	}
	stop()
	for p := range broken {
		t.Errorf("a page has a refused answer:\n%s", p)
	}
	w.scrape().wantLives(t, []string{"other"}, nil)
	s.signal(syscall.SIGTERM)
	s.wantEnd(soon, 0) // the log is complete now
	if log := s.err.String(); strings.Contains(log, "sandbox=other") {
		t.Errorf("the log says:\n%s", log)
	}
}

// A runsc that is killed while it creates a sandbox leaves an empty state file, a half-written one,
// one without a process, or one whose process keeps running.
func TestStateFilesLeftByACrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("good", "idle")
	w.serve()
	for delay := 5 * time.Millisecond; delay <= 80*time.Millisecond; delay += 5 * time.Millisecond {
		ctx, cancel := context.WithTimeout(t.Context(), delay)
		_ = w.node.Run(ctx, w.container(fmt.Sprint("crashed-", delay), "idle"))
		cancel()
		w.scrape().wantValue(t, 1, alwaysThere, "sandbox", "good")
	}
	w.until(func() error { // processes take a moment to end
		return pageAgrees(w.scrape(), w.statesLeft())
	})
}

// statesLeft returns the content of the readable state files of the runtime root.
func (w *world) statesLeft() []sandboxState {
	w.t.Helper()
	paths, err := filepath.Glob(filepath.Join(w.root, "*.state"))
	w.must(err)
	var states []sandboxState
	for _, path := range paths {
		doc, err := os.ReadFile(path)
		w.must(err)
		var s sandboxState
		if json.Unmarshal(doc, &s) == nil {
			states = append(states, s)
		}
	}
	return states
}

// pageAgrees reports sandboxes of state files whose state on the page does not match that of their
// processes.
func pageAgrees(p page, states []sandboxState) error {
	for _, s := range states {
		want := 0.0
		if state := processState(s.Sandbox.Pid); state != "" && state != "Z" {
			want = 1
		}
		if got, ok := p.value("runsc_meta_sandbox_running", "sandbox", s.ID); !ok || got != want {
			return fmt.Errorf("%s, whose process %d is in state %q, is running %v (present: %t)", s.ID, s.Sandbox.Pid, processState(s.Sandbox.Pid), got, ok)
		}
	}
	return nil
}

func TestServerRestartedAfterDeathsSaysTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("lives", "idle")
	w.start("zombie", "idle")
	w.start("reaped", "idle")
	w.start("exited", "exit")
	w.start("paused", "idle")
	w.must(w.node.Pause(w.ctx(), "paused"))
	w.serve()
	w.untilEnded("exited")
	w.scrape().wantLives(t, []string{"lives", "paused", "reaped", "zombie"}, []string{"exited"})
	w.reaped(w.kill("reaped"))
	w.kill("zombie")
	said := func() []string {
		t.Helper()
		p := w.scrape()
		p.wantLives(t, []string{"lives", "paused"}, []string{"exited", "reaped", "zombie"})
		var lines []string
		for line := range strings.Lines(string(p.raw)) {
			if strings.HasPrefix(line, "runsc_meta_") {
				lines = append(lines, line[:strings.LastIndexByte(line, ' ')]) // without the time
			}
		}
		return lines
	}
	before := said()
	w.stop()
	w.serve()
	if after := said(); !slices.Equal(after, before) {
		t.Errorf("before the restart:\n%s\n\nafter it:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	w.must(syscall.Kill(w.serverPid(), syscall.SIGKILL))
	w.until(func() error { return w.client.ShutdownServer(w.ctx()) })
	w.serve()
	if after := said(); !slices.Equal(after, before) {
		t.Errorf("before the server was killed:\n%s\n\nafter it:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
}
