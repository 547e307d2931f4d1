package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestExitOnJournal: the journal stores the error that ends a program as an error. Other outputs get the error
// only.
func TestExitOnJournal(t *testing.T) {
	check := func(stream func(device, inode uint64) string, want string) {
		t.Helper()
		file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		var st syscall.Stat_t
		if err := syscall.Fstat(int(file.Fd()), &st); err != nil {
			t.Fatal(err)
		}
		t.Setenv("JOURNAL_STREAM", stream(st.Dev, st.Ino))
		Exit("program", Usage(errors.New("why")), Stdio{Err: file})
		if text, err := os.ReadFile(file.Name()); err != nil || string(text) != want {
			t.Errorf("JOURNAL_STREAM=%s: %q, %v", os.Getenv("JOURNAL_STREAM"), text, err)
		}
	}
	check(func(device, inode uint64) string { return fmt.Sprint(device, ":", inode) }, "<3>program: why\n")
	check(func(device, inode uint64) string { return fmt.Sprint(device, ":", inode+1) }, "program: why\n")
	check(func(uint64, uint64) string { return "" }, "program: why\n")
}
