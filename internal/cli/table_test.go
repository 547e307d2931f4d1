package cli

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	table := Table{
		Columns: []Column{{Title: "ID"}, {Title: "NAME", MinWidth: 4, Optional: 1}, {Title: "SIZE", Optional: 2}, {Title: "TEXT", MinWidth: 6}},
		Rows:    [][]string{{"a", "long name", "1", "long text of it"}, {"abc", "名", "22", "text"}},
	}
	check := func(columns int, want ...string) {
		t.Helper()
		lines := table.Lines(columns)
		if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") {
			t.Errorf("%d columns: got\n%s\nwant\n%s", columns, got, strings.Join(want, "\n"))
		}
	}
	whole := []string{
		"ID   NAME       SIZE  TEXT",
		"a    long name  1     long text of it",
		"abc  名         22    text",
	}
	if got := table.Width(); got != 37 {
		t.Errorf("it is %d columns wide, want 37", got)
	}
	check(0, whole...)
	check(37, whole...)
	check(36,
		"ID   NAME       SIZE  TEXT",
		"a    long name  1     long text of …",
		"abc  名         22    text")
	check(23,
		"ID   NAME  SIZE  TEXT",
		"a    lon…  1     long …",
		"abc  名    22    text")
	check(22,
		"ID   NAME     TEXT",
		"a    long n…  long te…",
		"abc  名       text")
	check(16,
		"ID   TEXT",
		"a    long text …",
		"abc  text")
	check(5,
		"ID   TEXT",
		"a    long …",
		"abc  text")
	if table.Width() != 37 || len(table.Rows[0]) != 4 {
		t.Error("Lines changes the table")
	}
}

func TestCut(t *testing.T) {
	check := func(text string, columns int, want string) {
		t.Helper()
		if got := cut(text, columns); got != want {
			t.Errorf("%d columns of %q are %q, want %q", columns, text, got, want)
		}
	}
	check("", 3, "")
	check("abc", 3, "abc")
	check("abcd", 3, "ab…")
	check("äöüß", 3, "äö…")
	check("ab…", 3, "ab…")
	check("名名名", 6, "名名名")
	check("名名名", 5, "名名…")
	check("名名名", 4, "名…")
	check("abc", 1, "…")
}
