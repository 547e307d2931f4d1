package state

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestProbe: a directory is read again only when it has changed.
func TestProbe(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name string) { must(os.WriteFile(filepath.Join(dir, name), nil, 0o600)) }
	old := time.Now().Add(-time.Hour)
	settle := func() { must(os.Chtimes(dir, old, old)) }
	p := NewProbe()
	check := func(what string, path string, want bool) {
		t.Helper()
		p.Next()
		var st unix.Stat_t
		must(unix.Stat(dir, &st))
		// The kernel sets the time of the last change of the status. Only the content's can be old.
		st.Ctim = st.Mtim
		if got := p.HasFiles(path, &st); got != want {
			t.Errorf("%s: %t", what, got)
		}
	}
	check("an empty directory", dir, false)
	for _, name := range []string{"a_sandbox:a.lock", "runsc-a.sock", "a.state", "_sandbox:a.state", "null-netns"} {
		write(name)
	}
	settle()
	check("other files", dir, false)
	write("app_sandbox:pod.state")
	settle()
	check("a state file since then, at the same time", dir, false)
	old = old.Add(time.Second)
	settle()
	check("a state file", dir, true)
	must(os.Remove(filepath.Join(dir, "app_sandbox:pod.state")))
	settle()
	check("no state file since then, at the same time", dir, true)
	must(os.Chtimes(dir, time.Now(), time.Now()))
	check("no state file", dir, false)
	write("app_sandbox:pod.state")
	check("a state file soon after a change", dir, true)
	must(os.Remove(filepath.Join(dir, "app_sandbox:pod.state")))
	check("no state file soon after a change", dir, false)

	settle()
	check("it is known", dir, false)
	check("a directory that cannot be read", filepath.Join(dir, "missing"), true)
	if len(p.known) != 1 {
		t.Errorf("%d directories are kept, want the one of the last round but one", len(p.known))
	}
	if p.Next(); len(p.known) != 0 {
		t.Error("a directory that nobody asks for is kept")
	}
}

// TestProbeManyEntries: the name of a state file is found among many others.
func TestProbeManyEntries(t *testing.T) {
	dir := t.TempDir()
	for i := range 2000 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(nameOfState("a", "b"), i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := NewProbe()
	var st unix.Stat_t
	if p.HasFiles(dir, &st) {
		t.Error("none of these is a state file")
	}
	if err := os.WriteFile(filepath.Join(dir, nameOfState("a", "b")), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if st.Size++; !p.HasFiles(dir, &st) {
		t.Error("the state file is not found")
	}
}
