package host

import (
	"slices"
	"testing"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/leaktest"
)

// newTellingWatcher returns a quiet Watcher whose changed appends a word to the list.
func newTellingWatcher(t *testing.T) (*Watcher, *[]string) {
	t.Helper()
	w, told := newQuietWatcher(t), new([]string)
	w.changed = func() { *told = append(*told, "changed") }
	return w, told
}

// expect checks what was told since the last call.
func expect(t *testing.T, when string, told *[]string, want ...string) {
	t.Helper()
	if !slices.Equal(*told, want) {
		t.Errorf("%s: told %q, want %q", when, *told, want)
	}
	*told = nil
}

// TestAtEnd: the function is called once, when the end is recorded, and before changed.
func TestAtEnd(t *testing.T) {
	leaktest.Check(t)
	w, told := newTellingWatcher(t)
	tell := func(text string) func() { return func() { *told = append(*told, text) } }
	c, other := startChild(t), startChild(t)

	p := w.Watch(c.pid)
	p.AtEnd(tell("replaced"))
	p.AtEnd(tell("ended"))
	removed, released := w.Watch(c.pid), w.Watch(c.pid)
	removed.AtEnd(tell("removed"))
	removed.AtEnd(nil)
	released.AtEnd(tell("released"))
	released.Release()
	released.AtEnd(tell("released before"))
	alive := w.Watch(other.pid)
	alive.AtEnd(tell("alive"))
	expect(t, "alive", told)
	w.Sync()
	expect(t, "synchronized", told)

	c.kill()
	w.Sync()
	expect(t, "a zombie", told, "ended", "changed")
	w.Sync()
	expect(t, "synchronized again", told)
	p.AtEnd(tell("at once"))
	expect(t, "when it has ended", told, "at once")
	p.AtEnd(nil)
	p.Release()
	p.AtEnd(tell("released after its end"))
	expect(t, "released", told, "released after its end")
	late := w.Watch(c.pid)
	expect(t, "watched as a zombie", told)
	late.AtEnd(tell("late"))
	expect(t, "watched as a zombie", told, "late")

	if err := w.Close(); err != nil {
		t.Error(err)
	}
	alive.AtEnd(tell("closed"))
	other.kill()
	w.Sync()
	expect(t, "closed", told)
}

// TestChanged: changed is called for ends and for exits, once for all that one Sync records.
func TestChanged(t *testing.T) {
	leaktest.Check(t)
	needStatusOfReaped(t)
	w, told := newTellingWatcher(t)
	c := startChild(t)
	for range 3 {
		unreadable(w.Watch(c.pid))
		withoutPidfd(w.Watch(c.pid))
	}
	released := unreadable(w.Watch(c.pid))
	w.Sync()
	expect(t, "alive", told)
	c.kill()
	expect(t, "before Sync", told)
	w.Sync()
	expect(t, "a zombie", told, "changed")
	released.Release()
	expect(t, "released", told)
	c.reap()
	w.Sync()
	expect(t, "reaped", told, "changed")
	w.Sync()
	expect(t, "synchronized again", told)

	blind := startChild(t)
	withoutPidfd(w.Watch(blind.pid))
	blind.reap()
	w.Sync()
	expect(t, "without a pidfd", told, "changed")
}

// TestAtEndUnlocked: the functions may call the methods of the package, and know the exit that the
// zombie has.
func TestAtEndUnlocked(t *testing.T) {
	leaktest.Check(t)
	w, told := newTellingWatcher(t)
	tr := newTree(t, "v1.txt")
	c := startChild(t)
	p := w.Watch(c.pid)
	s := subject("hosta")
	s.Alive = p.Alive
	a := tr.open(tr.meter(), s)
	read(a, 0)
	use := func(text string) func() {
		return func() {
			*told = append(*told, text)
			a.Finish(new(fact.Reading), start)
			read(a, 0)
			checkExit(t, text, p, known, Exit{Signal: 9})
			if p.Alive() || p.End() == nil || !isDone(p) {
				t.Errorf("%s: the process has not ended", text)
			}
			w.Watch(c.pid).Release()
			w.Sync()
		}
	}
	p.AtEnd(use("ended"))
	w.changed = use("changed")
	c.kill()
	w.Sync()
	expect(t, "a zombie", told, "ended", "changed")
	p.AtEnd(use("late"))
	expect(t, "when it has ended", told, "late")
}

// TestAtEndWatched: without Sync, the watcher's goroutine calls the functions.
func TestAtEndWatched(t *testing.T) {
	leaktest.Check(t)
	needStatusOfReaped(t)
	told := make(chan string, 10)
	w, err := newWatcherWith(func() { told <- "changed" }, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	c := startChild(t)
	p := unreadable(w.Watch(c.pid))
	p.AtEnd(func() { told <- "ended" })
	c.signal()
	for _, want := range []string{"ended", "changed"} {
		if got := <-told; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	checkExit(t, "a zombie", p, pending, Exit{})
	c.reap()
	if got := <-told; got != "changed" {
		t.Errorf("%s, want changed", got)
	}
	checkExit(t, "reaped", p, known, Exit{Signal: 9})
}
