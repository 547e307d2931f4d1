package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// dockerID is as long as the IDs of most containers.
const dockerID = "5f0c2a1b7d8e9f00112233445566778899aabbccddeeff001122334455667788"

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
// cut. Nothing that get writes reaches a terminal raw.
func TestListOnATerminal(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: dockerID, PID: 1, Pod: "web-7d8b49557c-abcde", Namespace: "shop"})
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
	contains(t, whole, dockerID, "web-7d8b49557c-abcde", "CONTAINERS", "/run/runsc-metrics.sock\n")
	for _, columns := range []uint16{40, 80, 132} {
		text := onTerminal(columns, "list --root {root}")
		for line := range strings.Lines(text) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > int(columns) {
				t.Errorf("a line of %d characters on a terminal of %d columns: %s", n, columns, line)
			}
		}
		contains(t, text, "\n"+dockerID[:12]+"  ")
	}
	if text := onTerminal(80, "list --root {root} --no-trunc"); text != whole {
		t.Errorf("with --no-trunc it shows\n%swant\n%s", text, whole)
	}
	if text := onTerminal(250, "list --root {root}"); text != whole {
		t.Errorf("on a wide terminal it shows\n%swant\n%s", text, whole)
	}

	w.start(simulate.Spec{ID: "red", Pod: "\x1b[31mred"})
	w.serve("serve --root {root} --web.listen-address {socket}")
	text := onTerminal(80, "get --address {socket} --sandbox red --filter ^fs_opens$")
	contains(t, text, `pod_name="`+"\uFFFD"+`[31mred"`)
	wantPrintable(t, text)
}
