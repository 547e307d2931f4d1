package main

import (
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/cli"
)

// displayTables returns tables to show in sequence.
func displayTables() []cli.Table {
	columns := []cli.Column{{Title: "HEAD"}, {Title: "STATE"}, {Title: "N", Optional: 1}}
	return []cli.Table{
		{Columns: columns, Rows: [][]string{{"ä", "running", "1"}, {"b", "ended", "2"}}},
		{Columns: columns, Rows: [][]string{{"ä", "running", "3"}}},
	}
}

func TestDisplayElsewhere(t *testing.T) {
	t.Setenv("TERM", "xterm")
	var out strings.Builder
	d := newDisplay(&out)
	for _, table := range displayTables() {
		if err := d.show(table); err != nil {
			t.Fatal(err)
		}
	}
	const want = "\nHEAD  STATE    N\nä     running  1\nb     ended    2\n\nHEAD  STATE    N\nä     running  3\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestDisplayOnATerminal(t *testing.T) {
	check := func(name string, columns int, colors bool, want string) {
		t.Helper()
		var out strings.Builder
		d := &display{out: &out, width: func() int { return columns }, colors: colors}
		for _, table := range displayTables() {
			if err := d.show(table); err != nil {
				t.Fatal(err)
			}
		}
		text := strings.NewReplacer(noWrap, "", wrap, "").Replace(out.String())
		if text != want || strings.Count(out.String(), noWrap) != 2 || !strings.HasSuffix(out.String(), wrap) {
			t.Errorf("%s: got\n%q, want\n%q", name, out.String(), want)
		}
	}
	check("in place of the one before", 80, false, "\x1b[JHEAD  STATE    N\nä     running  1\nb     ended    2\n\x1b[3A\x1b[JHEAD  STATE    N\nä     running  3\n")
	check("a column less", 16, false, "\x1b[JHEAD  STATE\nä     running\nb     ended\n\x1b[3A\x1b[JHEAD  STATE\nä     running\n")
	check("colors", 80, true, "\x1b[J\x1b[1mHEAD  STATE    N\x1b[0m\nä     \x1b[32mrunning\x1b[0m  1\nb     \x1b[31mended\x1b[0m    2\n"+
		"\x1b[3A\x1b[J\x1b[1mHEAD  STATE    N\x1b[0m\nä     \x1b[32mrunning\x1b[0m  3\n")
	check("colors in the last column", 16, true, "\x1b[J\x1b[1mHEAD  STATE\x1b[0m\nä     \x1b[32mrunning\x1b[0m\nb     \x1b[31mended\x1b[0m\n"+
		"\x1b[3A\x1b[J\x1b[1mHEAD  STATE\x1b[0m\nä     \x1b[32mrunning\x1b[0m\n")
}
