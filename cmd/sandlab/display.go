package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/sandmeter/sandmeter/internal/cli"
)

// Escape sequences that all common terminals support.
const (
	up         = "\x1b[%dA" // a number of lines
	eraseBelow = "\x1b[J"   // from the cursor on
	bold       = "\x1b[1m"
	red        = "\x1b[31m"
	green      = "\x1b[32m"
	plain      = "\x1b[0m"
	noWrap     = "\x1b[?7l" // cut lines at the edge
	wrap       = "\x1b[?7h"
)

// A display shows tables. On a terminal a table replaces the previous one; elsewhere it follows
// below.
type display struct {
	out    io.Writer
	width  func() int // of the terminal in columns; nil: not a terminal
	colors bool
	drawn  int // lines of the last table, above the cursor
}

func newDisplay(out io.Writer) *display {
	d := &display{out: out}
	if kind := os.Getenv("TERM"); !cli.IsTerminal(out) || kind == "" || kind == "dumb" {
		return d
	}
	d.colors = os.Getenv("NO_COLOR") == ""
	d.width = func() int { return cli.TerminalWidth(out) }
	return d
}

// show shows a table. On a terminal it leaves out columns so that no line wraps: the next table
// could not replace wrapped lines.
func (d *display) show(table cli.Table) error {
	if d.width == nil {
		_, err := io.WriteString(d.out, "\n"+strings.Join(table.Lines(0), "\n")+"\n")
		return err
	}
	var text strings.Builder
	if d.drawn > 0 {
		fmt.Fprintf(&text, up, d.drawn)
	}
	text.WriteString(noWrap + eraseBelow)
	lines := table.Lines(d.width() - 1)
	for i, line := range lines {
		text.WriteString(d.color(line, i == 0) + "\n")
	}
	text.WriteString(wrap)
	d.drawn = len(lines)
	_, err := io.WriteString(d.out, text.String())
	return err
}

// color makes the head of a table bold, and the states green and red.
func (d *display) color(line string, head bool) string {
	if !d.colors {
		return line
	}
	if head {
		return bold + line + plain
	}
	state := func(text, color string) { // the state may be the last column
		line = strings.Replace(line+" ", " "+text+" ", " "+color+text+plain+" ", 1)
		line = strings.TrimSuffix(line, " ")
	}
	state(demoRunning, green)
	state(demoEnded, red)
	return line
}

// labeled returns the cells of a line with the label before them, unless it is empty.
func labeled(label string, cells ...string) []string {
	if label == "" {
		return cells
	}
	return append([]string{label}, cells...)
}
