package roots

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/clock"
	"github.com/sandmeter/sandmeter/internal/guard"
)

// TestExpand: configured roots stand for these directories.
func TestExpand(t *testing.T) {
	d := newDirs(t, "a", "b", "c")
	d.must(os.Symlink("a", d.path("link")))
	d.must(os.WriteFile(d.path("file"), nil, 0o644))
	check := func(configured, want string) {
		t.Helper()
		if served, leftOut := d.expand(configured); served != want || leftOut != "" {
			t.Errorf("%q stands for %q and leaves out %q, want %q", configured, served, leftOut, want)
		}
	}
	// A single root is served as configured.
	check("a", "a")
	check("missing", "missing")

	// Each directory is served once, under its first name, and also while it is missing.
	check("b a", "b a")
	check("a a", "a")
	check("a missing missing", "a missing")
	check("link a", "link")
	check("a link", "a")
	check("a file", "a file") // and is an error when it is read

	// So is a missing one of which one name goes through a link.
	check("a/missing link/missing b", "a/missing b")
	check("a/missing/x link/missing/x b", "a/missing/x b")
	check("a/missing link/other", "a/missing link/other")

	// Globs match existing directories.
	check("*", "a b c")
	check("l*", "link")
	check("b *", "b a c")
	check("[bc]", "b c")
	check("c* * link", "c a b")
	check("nothing*", "")
	check("missing/*", "")

	// If the directory of a glob cannot be listed, that is an error when it is read.
	d.must(os.Symlink("loop", d.path("loop")))
	check("loop/*", "loop")
	check("loop/x/*/y*", "loop/x")
	check("loop/* a", "loop a")
}

// TestExpandMany: if globs match more than MaxRoots directories, those with state files are served,
// and first those that already are. Named ones are served in any case. Of empty ones, some are.
func TestExpandMany(t *testing.T) {
	d := newDirs(t)
	names := func(prefix string, n int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprintf("%s%04d", prefix, i))
		}
		return all
	}
	check := func(what, configured string, want, wantLeftOut []string) {
		t.Helper()
		served, leftOut := d.expand(configured)
		if served != strings.Join(want, " ") {
			t.Errorf("%s: served are %s", what, served)
		}
		if leftOut != strings.Join(wantLeftOut, " ") {
			t.Errorf("%s: left out are %s", what, leftOut)
		}
	}
	empties := names("empty", 2*MaxRoots)
	d.make(empties...)
	some := empties[:MaxEmpty]
	check("empty ones are left out without further ado", "*", some, nil)

	full := names("full", MaxRoots+2)
	for _, name := range full[:3] {
		d.fill(name)
	}
	check("empty ones take no place", "*", slices.Concat(some, full[:3]), nil)
	check("a named one is served, though it is empty", "* "+empties[MaxRoots], slices.Concat(some, empties[MaxRoots:MaxRoots+1], full[:3]), nil)

	for _, name := range full[3 : MaxRoots-1] {
		d.fill(name)
	}
	check("there is room for an empty one", "*", slices.Concat(some[:1], full[:MaxRoots-1]), nil)
	d.fill(full[MaxRoots-1])
	check("there is room for all with state files", "*", full[:MaxRoots], nil)
	for _, name := range full[MaxRoots:] {
		d.fill(name)
	}
	check("there is no room for all", "*", full[:MaxRoots], full[MaxRoots:])
	check("named ones come first", "missing * "+empties[0], slices.Concat([]string{"missing", empties[0]}, full[:MaxRoots-2]), full[MaxRoots-2:])
	d.held = full[2:]
	check("those that are served keep their places", "*", full[2:], full[:2])
}

// TestHungRoots: a directory that does not answer is as it was before, and takes nothing from the others.
func TestHungRoots(t *testing.T) {
	d := newDirs(t)
	for _, name := range []string{"a", "b", "c"} {
		d.fill(name)
	}
	expect := func(what, want string) {
		t.Helper()
		if served, _ := d.expand("* missing"); served != want {
			t.Errorf("%s: served are %q, want %q", what, served, want)
		}
	}
	expect("all answer", "a b c missing")
	answers := d.guard.Mark(d.path("b"))
	expect("b does not", "a b c missing")
	d.fill("d")
	expect("b does not, and d is new", "a b c d missing")
	forgets := d.guard.Mark(d.dir) // the glob cannot be evaluated
	d.fill("e")
	expect("the directory above does not", "a b c d missing")
	forgets()
	expect("it does", "a b c d e missing")
	answers()
	d.last = nil
	d.guard.Mark(d.path("c"))
	expect("c has never answered", "a b d e missing")
}

// TestLook: a directory is read again only when it has changed.
func TestLook(t *testing.T) {
	d := newDirs(t)
	d.fill("a")
	dir, file := d.path("a"), d.path("a/a_sandbox:a.state")
	var last sight
	check := func(what string, want, settled bool) {
		t.Helper()
		if last = look(dir, last); last.occupied != want || last.settled != settled {
			t.Errorf("%s: %+v", what, last)
		}
	}
	check("a state file", true, false)
	time.Sleep(50 * time.Millisecond)
	check("a while later", true, true)
	last.occupied = false
	check("nothing has changed", false, true)
	d.must(os.Remove(file))
	d.must(os.WriteFile(file, nil, 0o600))
	check("a change", true, false)
	d.must(os.Remove(file))
	check("removed soon after a change", false, false)
	d.must(os.Remove(dir))
	check("no directory", false, false)
}

// dirs is a directory with directories that roots stand for.
type dirs struct {
	testing.TB
	dir   string
	guard *guard.Guard
	last  *Expander // nil: none
	held  []string  // those with sandboxes that are served
}

func newDirs(t *testing.T, names ...string) *dirs {
	d := &dirs{TB: t, dir: t.TempDir(), guard: guard.New(clock.Real)}
	d.make(names...)
	return d
}

func (d *dirs) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

func (d *dirs) path(name string) string { return filepath.Join(d.dir, name) }

// make makes directories.
func (d *dirs) make(names ...string) {
	d.Helper()
	for _, name := range names {
		d.must(os.Mkdir(d.path(name), 0o755))
	}
}

// fill makes a directory with a state file.
func (d *dirs) fill(name string) {
	d.Helper()
	d.make(name)
	d.must(os.WriteFile(filepath.Join(d.path(name), "a_sandbox:a.state"), nil, 0o600))
}

// expander returns the last Expander if it is for the same list, or a new one.
func (d *dirs) expander(list List) *Expander {
	if d.last == nil || !slices.Equal(d.last.list, list) {
		d.last = NewExpander(list, d.guard)
	}
	return d.last
}

// expand returns the names of the directories that configured roots stand for, separated by spaces.
func (d *dirs) expand(configured string) (served, leftOut string) {
	var list List
	for _, name := range strings.Fields(configured) {
		list = append(list, d.path(name))
	}
	places, left := d.expander(list).Expand(func(path string) bool { return slices.Contains(d.held, filepath.Base(path)) })
	var names []string
	for _, p := range places {
		names = append(names, p.Path)
	}
	join := func(paths []string) string { return strings.ReplaceAll(strings.Join(paths, " "), d.dir+"/", "") }
	return join(names), join(left)
}

// BenchmarkExpand finds the roots that a glob matches: 500 with state files, and empty ones.
func BenchmarkExpand(b *testing.B) {
	for _, empties := range []int{0, 2000} {
		b.Run(fmt.Sprintf("empty=%d", empties), func(b *testing.B) {
			d := &dirs{TB: b, dir: b.TempDir(), guard: guard.New(clock.Real)}
			for i := range MaxRoots {
				d.fill(fmt.Sprintf("full%03d", i))
			}
			for i := range empties {
				d.make(fmt.Sprintf("empty%04d", i))
			}
			time.Sleep(50 * time.Millisecond) // directories are read again until their last change is 20 ms ago
			b.ReportAllocs()
			for b.Loop() {
				d.expand("*")
			}
		})
	}
}
