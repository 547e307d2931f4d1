package main

import (
	"context"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/cli"
)

// demoWorld returns a world for demos, and the directory for their temporary files.
func demoWorld(t *testing.T) (w *world, tmp string) {
	w = newWorld(t)
	tmp = w.path("tmp")
	w.must(os.Mkdir(tmp, 0o755))
	t.Setenv("TMPDIR", tmp)
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
		w.fails(line, cli.ExitUsage, want)
	}
	wrong("demo nonsense", `unknown command "nonsense" for "sandlab demo"; try: sandlab demo --help`)
	wrong("demo --interval 0s", "--interval must be positive, and --for must not be negative")
	wrong("demo --for -1s", "--interval must be positive, and --for must not be negative")
	wrong("demo --real --simulated", "--real and --simulated exclude each other: give only one")
}

// demoRow matches a line of the table of three simulated sandboxes, with values and rates.
var demoRow = regexp.MustCompile(`(?m)^simulated  demo-(idle|busy|pod) +(-|shop/web-0) +running +(\d+) +([\d.]+|-) +(\d+) +([\d.]+|-)$`)

// TestDemoShowsSimulated: if real sandboxes cannot run, the demo prints the reason once and shows
// simulated ones, labeled on every line.
func TestDemoShowsSimulated(t *testing.T) {
	w, tmp := demoWorld(t)
	check := func(line, whyNot string) {
		t.Helper()
		code, out, err := w.command(line)
		if code != cli.ExitOK || !strings.HasPrefix(err, whyNot+"Starting sandbox demo-idle (simulated; ") {
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
		t.Setenv(name, value) // settings for another server
	}
	check("demo --simulated --for 1s --interval 250ms", "")
	check("demo --runsc {dir}/missing --for 1s --interval 250ms",
		`No real sandboxes: runsc not found at the given path: stat `+w.path("missing")+": no such file or directory. Showing simulated ones.\n")
}

// wantGrowth fails the test unless the matches of demoRow are from at least two tables, and the
// values of the busy sandbox grow.
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
		// 250 per second, but less on a busy machine.
		if more := opens[i+1] - opens[i]; more < 10 || reads[i+1]-reads[i] != busyReadsPerOpen*more {
			t.Errorf("opens %d and reads %d", opens, reads)
		}
	}
}

// TestDemoReal: --real shows real sandboxes or fails.
func TestDemoReal(t *testing.T) {
	w, tmp := demoWorld(t)
	w.fails("demo --real --runsc {dir}/missing", cli.ExitFail, `runsc not found at the given path: stat {dir}/missing: no such file or directory`)
	wantEmpty(t, tmp)
}

// An emptyNode starts no sandboxes and reports no error, like a program that is not runsc.
type emptyNode struct{ demoNode }

func (emptyNode) start(context.Context, demoSandbox, string) error { return nil }

// TestDemoWithoutSandboxes: the demo fails if its sandboxes do not run, even if starting them
// reported no error.
func TestDemoWithoutSandboxes(t *testing.T) {
	w, tmp := demoWorld(t)
	node, err := newSimulatedNode()
	w.must(err)
	var out, errs strings.Builder
	err = demo{interval: time.Second}.serve(t.Context(), cli.Stdio{Out: &out, Err: &errs}, emptyNode{node})
	if err == nil || err.Error() != "sandbox demo-idle was started but is not running: give the path of runsc with --runsc" || strings.Contains(out.String(), "SANDBOX") {
		t.Errorf("it ends with %v and says\n%s%s", err, &out, &errs)
	}
	w.must(node.Close())
	wantEmpty(t, tmp)
}
