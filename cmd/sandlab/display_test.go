package main

import (
	"strings"
	"testing"
)

func TestDisplayElsewhere(t *testing.T) {
	t.Setenv("TERM", "xterm")
	var out strings.Builder
	d := newDisplay(&out)
	for _, table := range [][]string{{"HEAD", "a running 1"}, {"HEAD", "a ended 2"}} {
		if err := d.show(table); err != nil {
			t.Fatal(err)
		}
	}
	if want := "\nHEAD\na running 1\n\nHEAD\na ended 2\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestDisplayOnATerminal(t *testing.T) {
	check := func(name string, columns int, colors bool, want string) {
		t.Helper()
		var out strings.Builder
		d := &display{out: &out, width: func() int { return columns }, colors: colors}
		for _, table := range [][]string{{"HEAD", "ä  running  1", "b  ended    2"}, {"HEAD", "ä  running  3"}} {
			if err := d.show(table); err != nil {
				t.Fatal(err)
			}
		}
		if out.String() != want {
			t.Errorf("%s: got\n%q, want\n%q", name, out.String(), want)
		}
	}
	check("in place of the one before", 80, false, "\x1b[JHEAD\nä  running  1\nb  ended    2\n\x1b[3A\x1b[JHEAD\nä  running  3\n")
	check("cut off", 12, false, "\x1b[JHEAD\nä  running \nb  ended   \n\x1b[3A\x1b[JHEAD\nä  running \n")
	check("hardly any room", 1, false, "\x1b[J\n\n\n\x1b[3A\x1b[J\n\n")
	check("colors", 80, true, "\x1b[J\x1b[1mHEAD\x1b[0m\nä  \x1b[32mrunning\x1b[0m  1\nb  \x1b[31mended\x1b[0m    2\n"+
		"\x1b[3A\x1b[J\x1b[1mHEAD\x1b[0m\nä  \x1b[32mrunning\x1b[0m  3\n")
}

func TestClip(t *testing.T) {
	check := func(line string, columns int, want string) {
		t.Helper()
		if got := clip(line, columns); got != want {
			t.Errorf("%d columns of %q are %q, want %q", columns, line, got, want)
		}
	}
	check("", 5, "")
	check("abc", 3, "abc")
	check("abcd", 3, "abc")
	check("äöü", 2, "äö")
	check("abc", 0, "")
	check("abc", -1, "")
}
