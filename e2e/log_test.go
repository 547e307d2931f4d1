package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

// fullPipe returns a pipe that has no room for another byte, as that of a log collector that hangs.
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

// bothCommands runs a test with the command line of each of the two commands that serve, which log for debugging.
func bothCommands(t *testing.T, test func(p *played, args []string)) {
	t.Run("serve", func(t *testing.T) {
		p := newPlayed(t)
		test(p, p.serveArgs("--log.level", "debug", "--max-collections-per-second", "1000"))
	})
	t.Run("metric-server", func(t *testing.T) {
		p := newPlayed(t)
		test(p, []string{"--debug", "--root=" + p.root, "--metric-server=" + p.addr, "metric-server", "--max-collections-per-second=1000"})
	})
}

// dropped returns how many log lines the server has dropped.
func (p *played) dropped() int {
	p.t.Helper()
	n, ok := p.scrape().value("sandmeter_log_lines_dropped_total")
	if !ok {
		p.t.Fatal("the page does not say how many log lines were dropped")
	}
	return int(n)
}

// TestLogThatIsNotRead: scrapes go on, and SIGTERM ends the server.
func TestLogThatIsNotRead(t *testing.T) {
	bothCommands(t, func(p *played, args []string) {
		_, writer := fullPipe(p.t)
		s := p.startLogging(args, writer)
		p.scrapeUntilDropped()
		s.signal(syscall.SIGTERM)
		s.wantEnd(soon, 0)
	})
}

// TestLogThatIsNotReadOfAServerThatFails: the line that says why it does not hold its end either.
func TestLogThatIsNotReadOfAServerThatFails(t *testing.T) {
	bothCommands(t, func(p *played, args []string) {
		_, writer := fullPipe(p.t)
		s := p.startLogging(args, writer)
		p.must(os.RemoveAll(p.root))
		s.wantEnd(soon, 1)
	})
}

// TestLogThatIsReadAgain has one line for all that were dropped, with their number, and then goes on.
func TestLogThatIsReadAgain(t *testing.T) {
	bothCommands(t, func(p *played, args []string) {
		reader, writer := fullPipe(p.t)
		s := p.startLogging(args, writer)
		p.must(writer.Close()) // the server has it
		p.scrapeUntilDropped()
		lines := make(chan string, 100_000)
		go func() {
			defer close(lines)
			for scanner := bufio.NewScanner(reader); scanner.Scan(); {
				lines <- scanner.Text()
			}
		}()
		const report = "Log lines were dropped"
		var got string
		for got = range lines {
			if strings.Contains(got, report) {
				break
			}
		}
		if want := fmt.Sprintf(" dropped=%d", p.dropped()); !strings.HasSuffix(got, want) {
			p.t.Errorf("the log says %q, want %s at the end", got, want)
		}
		s.signal(syscall.SIGTERM)
		s.wantEnd(soon, 0)
		last := ""
		for line := range lines {
			if last = line; strings.Contains(line, report) {
				p.t.Errorf("the log says it again: %s", line)
			}
		}
		if !strings.HasSuffix(last, `level=INFO msg="Metric server stopped" signal=terminated`) {
			p.t.Errorf("the last line is %s", last)
		}
	})
}

// scrapeUntilDropped scrapes until the server has to drop log lines.
func (p *played) scrapeUntilDropped() {
	p.t.Helper()
	const queue = 256 << 10 // bytes; a scrape logs more than a hundred
	filter := strings.Repeat("x", 200)
	for range queue / 100 {
		p.scrape("runsc-sandbox-metrics-filter", filter)
		if p.dropped() > 0 {
			return
		}
	}
	p.t.Fatal("no log line is dropped")
}

// TestSecondSignal ends the server at once, while the first one leaves it the time to end a scrape.
func TestSecondSignal(t *testing.T) {
	bothCommands(t, func(p *played, args []string) {
		asked := make(chan struct{})
		var once sync.Once
		p.play(simulate.Spec{ID: "stalls", MetricServer: p.addr, Behavior: func(x *simulate.Exchange) error {
			once.Do(func() { close(asked) })
			return x.Stall()
		}})
		s := p.start(args)
		scraped := make(chan struct{})
		go func() {
			defer close(scraped)
			_, _ = p.client.GetMetrics(p.ctx(), nil)
		}()
		<-asked
		// The second one is there as soon as the first, so the server cannot have ended before.
		s.signal(syscall.SIGSTOP)
		s.signal(syscall.SIGTERM)
		s.signal(syscall.SIGINT)
		s.signal(syscall.SIGCONT)
		<-s.ended
		<-scraped
		if code := s.ProcessState.ExitCode(); code != 128+int(syscall.SIGTERM) && code != 128+int(syscall.SIGINT) {
			p.t.Errorf("it exits with %d and says\n%s", code, &s.err)
		}
	})
}

// TestHangup: serve takes no notice, metric-server ends in good order, and one that was started with nohup goes on.
func TestHangup(t *testing.T) {
	nohup := func(args []string) []string {
		return append([]string{"-c", `trap "" HUP; exec "$0" "$@"`, sandmeter}, args...)
	}
	goesOn := func(p *played, s *server) {
		p.t.Helper()
		s.signal(syscall.SIGHUP)
		p.scrape()
		s.signal(syscall.SIGTERM)
		s.wantEnd(soon, 0)
	}
	t.Run("serve", func(t *testing.T) {
		p := newPlayed(t)
		goesOn(p, p.serve())
	})
	t.Run("metric-server", func(t *testing.T) {
		p := newPlayed(t)
		pid := filepath.Join(filepath.Dir(p.root), "pid")
		s := p.start([]string{"--root=" + p.root, "--metric-server=" + p.addr, "metric-server", "--pid-file=" + pid})
		s.signal(syscall.SIGHUP)
		s.wantEnd(soon, 0)
		if got := s.err.lastLine(); !strings.HasSuffix(got, `msg="Metric server stopped" signal=hangup`) {
			t.Errorf("the last line is %s", got)
		}
		for _, path := range []string{pid, p.addr} {
			if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is left behind: %v", path, err)
			}
		}
	})
	t.Run("metric-server with nohup", func(t *testing.T) {
		p := newPlayed(t)
		goesOn(p, p.startProgram(newRun(t, "/bin/sh", nohup([]string{"--root=" + p.root, "--metric-server=" + p.addr, "metric-server"})...)))
	})
}

// TestPIDFileOfARunningServer is left alone by another server that is started with it.
func TestPIDFileOfARunningServer(t *testing.T) {
	p := newPlayed(t)
	pid := filepath.Join(filepath.Dir(p.root), "pid")
	first := p.serve("--pid-file", pid)
	second := newProgram(t, "serve", "--root", p.root, "--web.listen-address", p.addr+"2", "--pid-file", pid)
	second.exit(t, 1)
	want := fmt.Sprintf("sandmeter: PID file %s: it is that of process %d, which is running: end that process, or choose another path\n", pid, first.Process.Pid)
	if got := second.err.String(); got != want {
		t.Errorf("the second server says\n%s\nwant\n%s", got, want)
	}
	if got, err := os.ReadFile(pid); err != nil || string(got) != fmt.Sprint(first.Process.Pid) {
		t.Errorf("the PID file has %q, %v", got, err)
	}
	first.signal(syscall.SIGKILL)
	first.wantEnd(patience, -1)
	third := p.serve("--pid-file", pid)
	if got, err := os.ReadFile(pid); err != nil || string(got) != fmt.Sprint(third.Process.Pid) {
		t.Errorf("after a server was killed, the PID file has %q, %v", got, err)
	}
}
