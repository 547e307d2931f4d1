package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/signal"
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

// TestLogThatIsReadAgain: the log reports all dropped lines in one line with their number, and then
// goes on.
func TestLogThatIsReadAgain(t *testing.T) {
	t.Parallel()
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

// scrapeUntilDropped sends requests until the server has to drop log lines.
func (w *world) scrapeUntilDropped() {
	w.t.Helper()
	const queue, logged = 256 << 10, 200 // bytes; a request that is refused logs its filter, and costs no collection
	params := map[string]string{"runsc-sandbox-metrics-filter": strings.Repeat("(", logged)}
	for i := range queue / logged {
		if _, err := w.client.GetMetrics(w.ctx(), params); err == nil {
			w.t.Fatal("the filter is no regular expression")
		}
		if i%100 == 99 && w.dropped() > 0 {
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
			for { // on a slow machine, a scrape may not reach the sandbox
				_, _ = w.client.GetMetrics(w.ctx(), nil)
				select {
				case <-asked:
					return
				default:
				}
			}
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

// TestHangup: metric-server goes on after SIGHUP if it was started with nohup.
func TestHangup(t *testing.T) {
	// A program inherits that a signal is ignored, as it is where these tests run under nohup, but not that it is handled.
	handled := make(chan os.Signal, 1)
	signal.Notify(handled, syscall.SIGHUP)
	defer signal.Stop(handled)
	w := newSimulatedWorld(t)
	args := append([]string{"-c", `trap "" HUP; exec "$0" "$@"`, sandmeter}, w.metricServerArgs()...)
	s := w.startProgram(newRun(t, "/bin/sh", args...))
	s.signal(syscall.SIGHUP)
	w.scrape()
	s.signal(syscall.SIGTERM)
	s.wantEnd(soon, 0)
}
