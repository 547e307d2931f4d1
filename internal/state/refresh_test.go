package state

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRefresh: Refresh reads one file, and does not look at others.
func TestRefresh(t *testing.T) {
	n := newNode(t)
	name := nameOfState("b", "b")
	refresh := func(what, file, want string) *Sandbox {
		t.Helper()
		s, err := n.Refresh(file)
		got := "none"
		switch {
		case errors.Is(err, fs.ErrNotExist):
			got = "missing"
		case err != nil:
			got = "error"
		case s != nil:
			got = s.ID
			if len(s.Containers) > 1 {
				got += " and others"
			}
		}
		if got != want {
			t.Errorf("%s: %s (%v), want %s", what, got, err, want)
		}
		return s
	}
	refresh("no file yet, before the first list", name, "missing")
	n.run("b", "b")
	n.settle()
	first := refresh("settled", name, "b")
	n.want("b", "")
	if n.only() != first {
		t.Error("List does not return the sandbox of Refresh")
	}
	n.run("a", "a")
	refresh("another file is there", name, "b")
	refresh("that file", nameOfState("a", "a"), "a")
	n.run("c", "b")
	refresh("a further container", nameOfState("c", "b"), "none")
	refresh("its sandbox", name, "b and others")
	refresh("no state file", "runsc-b.sock", "none")
	n.write(nameOfState("d", "d"), `{"id":`)
	refresh("half a file", nameOfState("d", "d"), "error")
	if n.pauses > 0 {
		t.Error("Refresh waited for the writer of a file")
	}
	n.run("d", "d")
	refresh("the whole file", nameOfState("d", "d"), "d")
	n.remove(name)
	refresh("removed", name, "missing")
	refresh("removed, again", name, "missing")
	n.want("a d", "")
	n.remove(".")
	refresh("no directory", name, "missing")
}

// TestDir: a sandbox has the directory in which its file was, whatever the path leads to by now.
func TestDir(t *testing.T) {
	n := newNode(t)
	n.run("a", "a")
	n.settle()
	dirOf := func(path string) Dir {
		t.Helper()
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		return Dir{st.Dev, st.Ino}
	}
	first := dirOf(n.Path())
	if got := n.only().Dir; got != first {
		t.Errorf("%+v, want %+v", got, first)
	}
	aside := n.Path() + ".old"
	if err := os.Rename(n.Path(), aside); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(aside) })
	if err := os.Mkdir(n.Path(), 0o755); err != nil {
		t.Fatal(err)
	}
	n.run("a", "a")
	if got := n.only().Dir; got == first || got != dirOf(n.Path()) {
		t.Errorf("%+v in another directory than %+v", got, first)
	}
}
