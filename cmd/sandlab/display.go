package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/sandmeter/sandmeter/internal/cli"
)

// What every terminal of the last decades understands.
const (
	up         = "\x1b[%dA" // so many lines
	eraseBelow = "\x1b[J"   // from the cursor on
	bold       = "\x1b[1m"
	red        = "\x1b[31m"
	green      = "\x1b[32m"
	plain      = "\x1b[0m"
)

// A display shows tables, one after the other. On a terminal a table takes the place of the one before; elsewhere it stands below it.
type display struct {
	out    io.Writer
	width  func() int // of the terminal in columns; nil: it is none
	colors bool
	drawn  int // lines of the last table, above the cursor
}

func newDisplay(out io.Writer) *display {
	d := &display{out: out}
	if kind := os.Getenv("TERM"); !cli.IsTerminal(out) || kind == "" || kind == "dumb" {
		return d
	}
	fd := int(out.(*os.File).Fd())
	d.colors = os.Getenv("NO_COLOR") == ""
	d.width = func() int {
		const usual = 80
		if columns, _, err := term.GetSize(fd); err == nil && columns > 0 {
			return columns
		}
		return usual
	}
	return d
}

// show shows a table, whose first line is its head. On a terminal lines are cut off where they would wrap: then the next table would not
// take their place.
func (d *display) show(table []string) error {
	if d.width == nil {
		_, err := io.WriteString(d.out, "\n"+strings.Join(table, "\n")+"\n")
		return err
	}
	var text strings.Builder
	if d.drawn > 0 {
		fmt.Fprintf(&text, up, d.drawn)
	}
	text.WriteString(eraseBelow)
	width := d.width()
	for i, line := range table {
		text.WriteString(d.color(clip(line, width-1), i == 0) + "\n")
	}
	d.drawn = len(table)
	_, err := io.WriteString(d.out, text.String())
	return err
}

// clip returns as much of a line as fits into columns. Each of its characters takes one.
func clip(line string, columns int) string {
	if text := []rune(line); len(text) > columns {
		return string(text[:max(0, columns)])
	}
	return line
}

// color makes the head of a table bold, and states green and red.
func (d *display) color(line string, head bool) string {
	if !d.colors {
		return line
	}
	if head {
		return bold + line + plain
	}
	return strings.NewReplacer(" "+demoRunning+" ", " "+green+demoRunning+plain+" ", " "+demoEnded+" ", " "+red+demoEnded+plain+" ").Replace(line)
}

// labeled puts a label before each line, if there is one.
func labeled(label string, lines ...string) []string {
	if label == "" {
		return lines
	}
	var all []string
	for _, line := range lines {
		all = append(all, label+"  "+line)
	}
	return all
}
