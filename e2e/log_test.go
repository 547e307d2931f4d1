package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

// fullPipe returns a full pipe, like that of a log collector that hangs.
func fullPipe(t *testing.T) (reader, writer *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	reader, writer = os.NewFile(uintptr(fds[0]), "reader"), os.NewFile(uintptr(fds[1]), "writer")
	t.Cleanup(func() {
		reader.Close()
		writer.Close()
	})
	if err := unix.SetNonblock(fds[1], true); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{4096, 1} {
		for {
			_, err := unix.Write(fds[1], []byte(strings.Repeat("\n", size)))
			if errors.Is(err, unix.EAGAIN) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := unix.SetNonblock(fds[1], false); err != nil {
		t.Fatal(err)
	}
	return reader, writer
}

// bothCommands runs a test with both server commands, at log level debug.
func bothCommands(t *testing.T, test func(w *world, args []string)) {
	t.Run("serve", func(t *testing.T) {
		w := newSimulatedWorld(t)
		test(w, w.serveArgs("--log.level", "debug"))
	})
	t.Run("metric-server", func(t *testing.T) {
		w := newSimulatedWorld(t)
		test(w, []string{"--debug", "--root=" + w.root, "--metric-server=" + w.addr, "metric-server"})
	})
}

// dropped returns the number of log lines that the server has dropped.
func (w *world) dropped() int {
	w.t.Helper()
	n, _ := w.scrape().value("sandmeter_log_lines_dropped_total") // with metric-server it exists only after a line was dropped
	return int(n)
}

// startLogging starts a server with the given standard error.
func (w *world) startLogging(args []string, stderr *os.File) *server {
	w.t.Helper()
	run := newProgram(w.t, args...)
	run.Stderr = stderr
	return w.startProgram(run)
}

// TestLogThatIsNotRead: scrapes still succeed, and SIGTERM ends the server.
func TestLogThatIsNotRead(t *testing.T) {
	bothCommands(t, func(w *world, args []string) {
		_, writer := fullPipe(w.t)
		s := w.startLogging(args, writer)
		w.scrapeUntilDropped()
		s.signal(syscall.SIGTERM)
		s.wantEnd(soon, 0)
	})
}

// TestLogThatIsNotReadOfAServerThatFails: the line with the error does not delay the end of a server whose
// address another one has.
func TestLogThatIsNotReadOfAServerThatFails(t *testing.T) {
	bothCommands(t, func(w *world, args []string) {
		_, writer := fullPipe(w.t)
		w.startProgram(newProgram(w.t, args...))
		second := newProgram(w.t, args...)
		second.Stderr = writer
		startProgram(w.t, second).wantEnd(soon, 1)
	})
}

// TestLogThatIsReadAgain: the log reports all dropped lines in one line with their number, and then
// goes on.
func TestLogThatIsReadAgain(t *testing.T) {
	bothCommands(t, func(w *world, args []string) {
		reader, writer := fullPipe(w.t)
		s := w.startLogging(args, writer)
		w.must(writer.Close()) // the server has a copy
		w.scrapeUntilDropped()
		lines := make(chan string, 100_000)
		go func() {
			defer close(lines)
			for scanner := bufio.NewScanner(reader); scanner.Scan(); {
				lines <- scanner.Text()
			}
		}()
		const report = "Log lines dropped"
		var got string
		for got = range lines {
			if strings.Contains(got, report) {
				break
			}
		}
		if want := fmt.Sprintf(" dropped=%d", w.dropped()); !strings.HasSuffix(got, want) {
			w.t.Errorf("the log says %q, want %s at the end", got, want)
		}
		s.signal(syscall.SIGTERM)
		s.wantEnd(soon, 0)
		last := ""
		for line := range lines {
			if last = line; strings.Contains(line, report) {
				w.t.Errorf("the log says it again: %s", line)
			}
		}
		if !strings.HasSuffix(last, `level=INFO msg="Metric server stopped" signal=terminated`) {
			w.t.Errorf("the last line is %s", last)
		}
	})
}

// scrapeUntilDropped scrapes until the server has to drop log lines.
func (w *world) scrapeUntilDropped() {
	w.t.Helper()
	const queue = 256 << 10 // bytes; a scrape logs more than a hundred bytes
	filter := strings.Repeat("x", 200)
	for range queue / 100 {
		w.scrape("runsc-sandbox-metrics-filter", filter)
		if w.dropped() > 0 {
			return
		}
	}
	w.t.Fatal("no log line is dropped")
}

// TestSecondSignal: a second signal ends the server at once, while the first lets it finish a
// scrape.
func TestSecondSignal(t *testing.T) {
	bothCommands(t, func(w *world, args []string) {
		asked := make(chan struct{})
		var once sync.Once
		w.simulate(simulate.Spec{ID: "stalls", MetricServer: w.addr, Behavior: func(x *simulate.Exchange) error {
			once.Do(func() { close(asked) })
			return x.Stall()
		}})
		s := w.startServer(args)
		scraped := make(chan struct{})
		go func() {
			defer close(scraped)
			_, _ = w.client.GetMetrics(w.ctx(), nil)
		}()
		<-asked
		// The second signal comes right after the first, so the server cannot have ended before.
		s.signal(syscall.SIGSTOP)
		s.signal(syscall.SIGTERM)
		s.signal(syscall.SIGINT)
		s.signal(syscall.SIGCONT)
		<-s.ended
		<-scraped
		if code := s.ProcessState.ExitCode(); code != 128+int(syscall.SIGTERM) && code != 128+int(syscall.SIGINT) {
			w.t.Errorf("it exits with %d and says\n%s", code, &s.err)
		}
	})
}

// TestHangup: serve ignores SIGHUP, metric-server shuts down cleanly, and a server that was started
// with nohup goes on.
func TestHangup(t *testing.T) {
	// A program inherits that a signal is ignored, as it is where these tests run under nohup, but not that it is handled.
	handled := make(chan os.Signal, 1)
	signal.Notify(handled, syscall.SIGHUP)
	defer signal.Stop(handled)
	nohup := func(args []string) []string {
		return append([]string{"-c", `trap "" HUP; exec "$0" "$@"`, sandmeter}, args...)
	}
	goesOn := func(w *world, s *server) {
		w.t.Helper()
		s.signal(syscall.SIGHUP)
		w.scrape()
		s.signal(syscall.SIGTERM)
		s.wantEnd(soon, 0)
	}
	t.Run("serve", func(t *testing.T) {
		w := newSimulatedWorld(t)
		goesOn(w, w.startServer(w.serveArgs()))
	})
	t.Run("metric-server", func(t *testing.T) {
		w := newSimulatedWorld(t)
		pid := filepath.Join(filepath.Dir(w.root), "pid")
		s := w.startServer([]string{"--root=" + w.root, "--metric-server=" + w.addr, "metric-server", "--pid-file=" + pid})
		s.signal(syscall.SIGHUP)
		s.wantEnd(soon, 0)
		if got := lastLine(&s.err); !strings.HasSuffix(got, `msg="Metric server stopped" signal=hangup`) {
			t.Errorf("the last line is %s", got)
		}
		for _, path := range []string{pid, w.addr} {
			if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is left behind: %v", path, err)
			}
		}
	})
	t.Run("metric-server with nohup", func(t *testing.T) {
		w := newSimulatedWorld(t)
		goesOn(w, w.startProgram(newRun(t, "/bin/sh", nohup([]string{"--root=" + w.root, "--metric-server=" + w.addr, "metric-server"})...)))
	})
}

// TestPIDFileOfARunningServer: a second server leaves the PID file of a running one alone.
func TestPIDFileOfARunningServer(t *testing.T) {
	w := newSimulatedWorld(t)
	pid := filepath.Join(filepath.Dir(w.root), "pid")
	first := w.startServer(w.metricServerArgs("--pid-file=" + pid))
	second := newProgram(t, "--root="+w.root, "--metric-server="+w.addr+"2", "metric-server", "--pid-file="+pid)
	second.exit(t, 1)
	want := fmt.Sprintf("sandmeter: PID file %s: it belongs to process %d, which is running: stop that process, or choose another path\n", pid, first.Process.Pid)
	if got := second.err.String(); got != want {
		t.Errorf("the second server says\n%s\nwant\n%s", got, want)
	}
	if got, err := os.ReadFile(pid); err != nil || string(got) != fmt.Sprint(first.Process.Pid) {
		t.Errorf("the PID file has %q, %v", got, err)
	}
	first.signal(syscall.SIGKILL)
	first.wantEnd(soon, -1)
	third := w.startServer(w.metricServerArgs("--pid-file=" + pid))
	if got, err := os.ReadFile(pid); err != nil || string(got) != fmt.Sprint(third.Process.Pid) {
		t.Errorf("after a server was killed, the PID file has %q, %v", got, err)
	}
}
