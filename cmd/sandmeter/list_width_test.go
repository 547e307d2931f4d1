package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// dockerIDs are as long as the IDs of most containers. Two of them have a common prefix.
var dockerIDs = []string{
	"5f0c2a1b7d8e9f00112233445566778899aabbccddeeff001122334455667788",
	"9e8d7c6b5a4f9f00112233445566778899aabbccddeeff001122334455667788",
	"9e8d7c6b5a4f3f00112233445566778899aabbccddeeff001122334455667788",
}

func TestListFits(t *testing.T) {
	var sandboxes []listed
	for i, id := range dockerIDs {
		sandboxes = append(sandboxes, listed{ID: id, Namespace: "shop", Pod: "web-7d8b49557c-abcde", State: "running", PID: 4711 + i, Containers: 2,
			CreatedAt: time.Date(2026, 11, 22, 8, 12, i, 0, time.UTC), MetricServer: "/run/runsc-metrics.sock", Instrumented: i > 0})
	}
	check := func(width int, want string) {
		t.Helper()
		var out strings.Builder
		if err := writeTable(&out, listedTable(sandboxes), width); err != nil || out.String() != strings.TrimPrefix(want, "\n") {
			t.Errorf("%d columns: %v\n%swant%s", width, err, &out, want)
		}
	}
	const whole = `
SANDBOX                                                           NAMESPACE  POD                   STATE    PID   CONTAINERS  CREATED (UTC)        METRIC SERVER
5f0c2a1b7d8e9f00112233445566778899aabbccddeeff001122334455667788  shop       web-7d8b49557c-abcde  running  4711  2           2026-11-22 08:12:00  /run/runsc-metrics.sock (not instrumented)
9e8d7c6b5a4f9f00112233445566778899aabbccddeeff001122334455667788  shop       web-7d8b49557c-abcde  running  4712  2           2026-11-22 08:12:01  /run/runsc-metrics.sock
9e8d7c6b5a4f3f00112233445566778899aabbccddeeff001122334455667788  shop       web-7d8b49557c-abcde  running  4713  2           2026-11-22 08:12:02  /run/runsc-metrics.sock
`
	check(0, whole)
	check(200, whole)
	check(160, `
SANDBOX        NAMESPACE  POD                   STATE    PID   CONTAINERS  CREATED (UTC)        METRIC SERVER
5f0c2a1b7d8e9  shop       web-7d8b49557c-abcde  running  4711  2           2026-11-22 08:12:00  /run/runsc-metrics.sock (not instrumented)
9e8d7c6b5a4f9  shop       web-7d8b49557c-abcde  running  4712  2           2026-11-22 08:12:01  /run/runsc-metrics.sock
9e8d7c6b5a4f3  shop       web-7d8b49557c-abcde  running  4713  2           2026-11-22 08:12:02  /run/runsc-metrics.sock
`)
	check(120, `
SANDBOX        NAMESPACE  POD                   STATE    PID   CONTAINERS  CREATED (UTC)        METRIC SERVER
5f0c2a1b7d8e9  shop       web-7d8b49557c-abcde  running  4711  2           2026-11-22 08:12:00  /run/runsc-metrics.sock…
9e8d7c6b5a4f9  shop       web-7d8b49557c-abcde  running  4712  2           2026-11-22 08:12:01  /run/runsc-metrics.sock
9e8d7c6b5a4f3  shop       web-7d8b49557c-abcde  running  4713  2           2026-11-22 08:12:02  /run/runsc-metrics.sock
`)
	check(80, `
SANDBOX        NAMESPACE  POD                 STATE    PID   METRIC SERVER
5f0c2a1b7d8e9  shop       web-7d8b49557c-ab…  running  4711  /run/runsc-metrics…
9e8d7c6b5a4f9  shop       web-7d8b49557c-ab…  running  4712  /run/runsc-metrics…
9e8d7c6b5a4f3  shop       web-7d8b49557c-ab…  running  4713  /run/runsc-metrics…
`)
	check(60, `
SANDBOX        NAMESPACE  POD                   STATE
5f0c2a1b7d8e9  shop       web-7d8b49557c-abcde  running
9e8d7c6b5a4f9  shop       web-7d8b49557c-abcde  running
9e8d7c6b5a4f3  shop       web-7d8b49557c-abcde  running
`)
	check(10, `
SANDBOX
5f0c2a1b7d8e9
9e8d7c6b5a4f9
9e8d7c6b5a4f3
`)
}

// terminal returns both ends of a terminal with a number of columns.
func terminal(t *testing.T, columns uint16) (ours, programs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	fd := int(ours.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	programs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { programs.Close() })
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: 24}); err != nil {
		t.Fatal(err)
	}
	return ours, programs
}

// TestListOnATerminal: the table fits a terminal, except with --no-trunc. Other outputs are never
// cut.
func TestListOnATerminal(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: dockerIDs[0], PID: 1, Pod: "web-7d8b49557c-abcde", Namespace: "shop"})
	onTerminal := func(columns uint16, line string) string {
		t.Helper()
		ours, programs := terminal(t, columns)
		code := run(t.Context(), w.words(line), cli.Stdio{Out: programs, Err: io.Discard})
		w.must(programs.Close())
		text, _ := io.ReadAll(ours) // returns an error, because the other end is closed
		if code != cli.ExitOK {
			t.Errorf("%s exits with %d", line, code)
		}
		return strings.ReplaceAll(string(text), "\r\n", "\n")
	}
	_, whole, _ := w.command("list --root {root}")
	contains(t, whole, dockerIDs[0], "web-7d8b49557c-abcde", "CONTAINERS", "/run/runsc-metrics.sock\n")
	for _, columns := range []uint16{40, 80, 100, 132} {
		text := onTerminal(columns, "list --root {root}")
		for line := range strings.Lines(text) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > int(columns) {
				t.Errorf("a line of %d characters on a terminal of %d columns: %s", n, columns, line)
			}
		}
		contains(t, text, "\n"+dockerIDs[0][:12]+"  ")
	}
	if text := onTerminal(80, "list --root {root} --no-trunc"); text != whole {
		t.Errorf("with --no-trunc it shows\n%swant\n%s", text, whole)
	}
	if text := onTerminal(250, "list --root {root}"); text != whole {
		t.Errorf("on a wide terminal it shows\n%swant\n%s", text, whole)
	}
	if _, short, _ := w.command("list --root {root} --no-trunc"); short != whole {
		t.Errorf("elsewhere --no-trunc changes the table to\n%s", short)
	}
}
