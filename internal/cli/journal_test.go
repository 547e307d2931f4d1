package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sandmeter/sandmeter/internal/cli"
)

// streamOf returns the value of JOURNAL_STREAM for a file.
func streamOf(t *testing.T, file *os.File) string {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Fstat(int(file.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

func TestOnJournal(t *testing.T) {
	open := func(name string) *os.File {
		file, err := os.Create(filepath.Join(t.TempDir(), name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
		return file
	}
	journal, other := open("journal"), open("other")
	check := func(what, stream string, out io.Writer, want bool) {
		t.Helper()
		t.Setenv("JOURNAL_STREAM", stream)
		if got := cli.OnJournal(out); got != want {
			t.Errorf("%s: %t", what, got)
		}
	}
	stream := streamOf(t, journal)
	check("the stream", stream, journal, true)
	check("another file", stream, other, false)
	check("no file", stream, new(bytes.Buffer), false)
	check("no variable", "", journal, false)
	check("a malformed variable", "x", journal, false)
	other.Close()
	check("a closed file", stream, other, false)
}

// TestExitOnJournal: the journal stores the error that ends a program as an error.
func TestExitOnJournal(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	t.Setenv("JOURNAL_STREAM", streamOf(t, file))
	cli.Exit("program", cli.Usage(errors.New("why")), cli.Stdio{Err: file})
	if text, err := os.ReadFile(file.Name()); err != nil || string(text) != "<3>program: why\n" {
		t.Errorf("%q, %v", text, err)
	}
}
