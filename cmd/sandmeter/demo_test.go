package main

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// beProgram is an environment variable that makes the test binary the program itself, which the demo starts as its server.
const beProgram = "TEST_BE_SANDMETER"

func init() {
	if os.Getenv(beProgram) != "" {
		main()
	}
}

// demoWorld is a world for demos: what they leave behind would be in tmp.
func demoWorld(t *testing.T) (w *world, tmp string) {
	w = newWorld(t)
	tmp = w.path("tmp")
	w.must(os.Mkdir(tmp, 0o755))
	t.Setenv("TMPDIR", tmp)
	t.Setenv(beProgram, "1")
	return w, tmp
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestDemoWrongUsage(t *testing.T) {
	w := newWorld(t)
	wrong := func(line, want string) {
		t.Helper()
		w.fails(line, exitUsage, want)
	}
	wrong("demo nonsense", `sandmeter demo takes no argument, and "nonsense" is one; try: sandmeter demo --help`)
	wrong("demo --interval 0s", "--interval has to be more than 0, and --for not less than 0")
	wrong("demo --for -1s", "--interval has to be more than 0, and --for not less than 0")
	wrong("demo --real --simulated", "--real and --simulated exclude each other: give one of them")
}

// demoRow is a line of a table of three simulated sandboxes, with values and rates.
var demoRow = regexp.MustCompile(`(?m)^simulated  demo-(idle|busy|pod) +(-|shop/web-0) +running +(\d+) +([\d.]+|-) +(\d+) +([\d.]+|-)$`)

// TestDemoShowsSimulated: where no real sandboxes can run, the demo says so once, and shows others that nobody takes for real ones.
func TestDemoShowsSimulated(t *testing.T) {
	w, tmp := demoWorld(t)
	check := func(line, whyNot string) {
		t.Helper()
		code, out, err := w.command(line)
		if code != exitOK || !strings.HasPrefix(err, whyNot+"Starting sandbox demo-idle (simulated; ") {
			t.Errorf("%s: exits with %d, and says not first %q, but\n%s", line, code, whyNot, err)
		}
		for _, l := range strings.Split(out, "\n") {
			if l != "" && !strings.HasPrefix(l, "simulated  ") {
				t.Errorf("%s: a line without label: %q", line, l)
			}
		}
		contains(t, out, "simulated  The raw page:  curl --unix-socket "+tmp+"/sandmeter-", "simulated  Ends after 1s, or with Ctrl-C.\n")
		wantGrowth(t, demoRow.FindAllStringSubmatch(out, -1))
		wantEmpty(t, tmp)
	}
	check("demo --simulated --for 1s --interval 250ms", "")
	for name, value := range map[string]string{"SANDMETER_EXPORTER_PREFIX": "foo_", "SANDMETER_SANDBOX_TIMEOUT": "nonsense", "SANDMETER_PID_FILE": "/dev/full/pid"} {
		t.Setenv(name, value) // for a server of one's own
	}
	check("demo --simulated --for 1s --interval 250ms", "")
	check("demo --runsc {dir}/missing --for 1s --interval 250ms",
		`No real sandboxes: runsc not found at the given path: exec: "`+w.path("missing")+`": stat `+w.path("missing")+": no such file or directory. Showing simulated ones.\n")
}

// wantGrowth fails the test unless the matches of demoRow are of at least two tables in which the numbers of the busy sandbox grow.
func wantGrowth(t *testing.T, rows [][]string) {
	t.Helper()
	var opens, reads []int
	for i, row := range rows {
		if row[1] == "busy" {
			n, _ := strconv.Atoi(row[3])
			opens = append(opens, n)
			n, _ = strconv.Atoi(row[5])
			reads = append(reads, n)
		}
		if first := i < 3; first != (row[4] == noValue) || first != (row[6] == noValue) {
			t.Errorf("the first table, and only that, has no rates: %q", row[0])
		}
	}
	if len(opens) < 2 || len(rows) != 3*len(opens) {
		t.Fatalf("%d tables with %d rows", len(opens), len(rows))
	}
	for i := range opens[1:] {
		// 250 a second, on a machine that may have much else to do
		if more := opens[i+1] - opens[i]; more < 10 || reads[i+1]-reads[i] != busyReadsPerOpen*more {
			t.Errorf("opens %d and reads %d", opens, reads)
		}
	}
}

// TestDemoReal: who wants real sandboxes gets these or an error.
func TestDemoReal(t *testing.T) {
	w, tmp := demoWorld(t)
	w.fails("demo --real --runsc {dir}/missing", exitFail, `runsc not found at the given path: exec: "{dir}/missing": stat {dir}/missing: no such file or directory`)
	wantEmpty(t, tmp)
}

// TestDemoOnATerminal runs the program on a terminal, as a person does: who types, resizes the terminal, suspends the demo and ends it.
func TestDemoOnATerminal(t *testing.T) {
	w, tmp := demoWorld(t)
	master, slave := openPTY(t)
	term := newFakeTerminal(80, 12)
	resize := func(columns, rows int) {
		t.Helper()
		term.resize(columns, rows)
		w.must(unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(columns), Row: uint16(rows)}))
	}
	resize(80, 12)
	demo := exec.Command("/proc/self/exe", "demo", "--simulated", "--interval", "50ms")
	demo.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=")
	demo.Stdin, demo.Stdout, demo.Stderr = slave, slave, slave
	demo.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	w.must(demo.Start())
	defer demo.Process.Kill()
	slave.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		term.readFrom(master) // until the demo has gone
	}()
	keys := func(text string) {
		t.Helper()
		_, err := master.WriteString(text)
		w.must(err)
	}
	shows := func(what string, so func(text string) bool) {
		t.Helper()
		defer func() {
			if t.Failed() {
				t.Log("the terminal shows\n" + term.text())
			}
		}()
		w.until(what, func() bool { return so(term.text()) })
	}

	table := regexp.MustCompile(`(?s)^simulated  SANDBOX .*READS/S\n(simulated  demo-[^\n]* running +\d+ +[\d.]+ +\d+ +[\d.]+\n){3}\n` +
		`simulated  The raw page:  curl --unix-socket /[^ ]*\n?[^ ]*`)
	shows("a table in place", table.MatchString)
	if !term.isAlternate() || !term.isHidden() {
		t.Error("the demo draws on the terminal's own lines, or with a cursor")
	}
	term.check(t)

	keys("\n\nwhat people type\n\n")
	shows("the table again", func(text string) bool { return table.MatchString(text) && !strings.Contains(text, "people") })

	resize(30, 3)
	const small = "simulated  SANDBOX    POD\nsimulated  demo-idle  -\nsimulated  demo-busy  -\n"
	shows("what there is room for", func(text string) bool { return text == small })
	resize(90, 12)
	shows("all of it", table.MatchString)

	keys("\x1a") // Ctrl-Z
	w.until("it is suspended", func() bool {
		var status unix.WaitStatus
		pid, err := unix.Wait4(demo.Process.Pid, &status, unix.WUNTRACED|unix.WNOHANG, nil)
		return err == nil && pid > 0 && status.Stopped()
	})
	shows("the terminal's own lines", func(string) bool { return !term.isAlternate() && !term.isHidden() })
	w.must(demo.Process.Signal(unix.SIGCONT))
	shows("the table after that", func(text string) bool { return term.isAlternate() && term.isHidden() && table.MatchString(text) })

	keys("\x03") // Ctrl-C
	if err := demo.Wait(); err != nil {
		t.Errorf("the demo ends with %v", err)
	}
	select {
	case <-ended:
	case <-time.After(ample):
		t.Fatal("somebody still has the terminal")
	}
	if term.isAlternate() || term.isHidden() {
		t.Error("the terminal is not as it was")
	}
	term.scrolls = 0 // there may have been a frame too many for a terminal that had just become small, or lines that were typed
	term.check(t)
	contains(t, term.text(), "simulated  demo-busy", "Stopping the server…", "removing what they left…\n")
	wantEmpty(t, tmp)
}
