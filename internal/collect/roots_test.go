package collect

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/state"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// TestExpand: what the configured roots stand for.
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
	some := empties[:maxEmpty]
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

// dirs is a directory with directories that roots stand for.
type dirs struct {
	testing.TB
	dir   string
	probe *state.Probe
	held  []string // those with sandboxes that are served
}

func newDirs(t *testing.T, names ...string) *dirs {
	d := &dirs{TB: t, dir: t.TempDir(), probe: state.NewProbe()}
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

// expand returns the names of the directories that configured roots stand for, separated by spaces.
func (d *dirs) expand(configured string) (served, leftOut string) {
	var list roots
	for _, name := range strings.Fields(configured) {
		list = append(list, d.path(name))
	}
	places, left := list.expand(func(path string) bool { return slices.Contains(d.held, filepath.Base(path)) }, d.probe)
	var names []string
	for _, p := range places {
		names = append(names, p.path)
	}
	join := func(paths []string) string { return strings.ReplaceAll(strings.Join(paths, " "), d.dir+"/", "") }
	return join(names), join(left)
}

// serve changes the configured roots.
func (n *node) serve(configured ...string) {
	n.collector.table.roots, n.collector.table.ways = configured, NewWays(configured)
}

// addRoot makes a second root with a sandbox.
func (n *node) addRoot(name, id string, opens int64) (path string, s *simulate.Sandbox) {
	n.Helper()
	path = filepath.Join(n.root, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		n.Fatal(err)
	}
	return path, testkit.Start(n, path, simulate.Spec{ID: id, Points: []simulate.Point{{Metric: "fs_opens", Int: opens}}})
}

// TestSeveralRoots: equal IDs in two roots stay apart, and roots come and go.
func TestSeveralRoots(t *testing.T) {
	n := newNode(t, func(o *Options) { o.Linger = 0 })
	one, _ := n.addRoot("one", "same", 1)
	two, second := n.addRoot("two", "same", 2)
	n.addRoot("two", "other", 3)
	n.serve(one, two, filepath.Join(n.root, "later*"), filepath.Join(n.root, "missing"))
	sample := func(value int, root, id string) string {
		return fmt.Sprintf(`runsc_fs_opens{runtime_root="%s",sandbox="%s"} %d`, root, id, value)
	}
	readable := func(value int, root string) string {
		return fmt.Sprintf(`sandmeter_runtime_root_readable{runtime_root="%s"} %d`, root, value)
	}
	absent := func(value int, root string) string {
		return fmt.Sprintf(`sandmeter_runtime_root_missing{runtime_root="%s"} %d`, root, value)
	}
	const gauge, missingGauge = "sandmeter_runtime_root_readable{", "sandmeter_runtime_root_missing{"
	missing := filepath.Join(n.root, "missing")
	for range 2 {
		page := n.page()
		n.expect(page, opens, sample(3, two, "other"), sample(1, one, "same"), sample(2, two, "same"))
		n.expect(page, gauge, readable(1, one), readable(1, two), readable(0, missing))
		n.expect(page, missingGauge, absent(0, one), absent(0, two), absent(1, missing))
	}
	later, _ := n.addRoot("later1", "new", 4)
	second.Remove()
	page := n.page()
	n.expect(page, opens, sample(4, later, "new"), sample(3, two, "other"), sample(1, one, "same"))
	n.expect(page, gauge, readable(1, one), readable(1, two), readable(1, later), readable(0, missing))
	n.expect(page, total, "runsc_meta_num_sandboxes_total 4")
	if got := n.collector.Roots(); !slices.Equal(got, []string{one, two, later, missing}) {
		t.Errorf("served are %q", got)
	}
	if len(n.collector.table.compiled) == 0 || n.collector.table.sorted[0].compiled != n.collector.table.sorted[1].compiled {
		t.Error("the same registration in two roots is compiled twice")
	}
	if err := os.RemoveAll(later); err != nil {
		t.Fatal(err)
	}
	n.expect(n.page(), opens, sample(3, two, "other"), sample(1, one, "same"))
	if log := n.logLines(); len(log) != 1 || !strings.Contains(log[0], "Runtime root does not exist") || !strings.Contains(log[0], missing) {
		t.Errorf("the log is\n%s", strings.Join(log, "\n"))
	}
}

// TestRootThatCannotBeRead: with several roots, an unreadable root affects only its own sandboxes.
func TestRootThatCannotBeRead(t *testing.T) {
	n := newNode(t, nil)
	one, _ := n.addRoot("one", "a", 1)
	file := filepath.Join(n.root, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	n.serve(file, one)
	for range 2 {
		page := n.page()
		n.expect(page, opens, fmt.Sprintf(`runsc_fs_opens{runtime_root="%s",sandbox="a"} 1`, one))
		n.expect(page, "sandmeter_runtime_root_readable{",
			fmt.Sprintf(`sandmeter_runtime_root_readable{runtime_root="%s"} 0`, file),
			fmt.Sprintf(`sandmeter_runtime_root_readable{runtime_root="%s"} 1`, one))
		n.expect(page, "sandmeter_runtime_root_missing{",
			fmt.Sprintf(`sandmeter_runtime_root_missing{runtime_root="%s"} 0`, file),
			fmt.Sprintf(`sandmeter_runtime_root_missing{runtime_root="%s"} 0`, one))
	}
	if log := n.logLines(); len(log) != 1 || !strings.Contains(log[0], "Runtime root is not readable") {
		t.Errorf("the log is\n%s", strings.Join(log, "\n"))
	}
}

// TestEndedSandboxLeaves: unless ended sandboxes are kept, one leaves the page when its process
// ends, state file or not.
func TestEndedSandboxLeaves(t *testing.T) {
	n := newNode(t, func(o *Options) { o.Linger = 0 })
	n.start(simulate.Spec{ID: "ended", PID: -1, Restored: true})
	n.start(simulate.Spec{ID: "running"})
	page := n.page()
	n.expect(page, "runsc_meta_sandbox_presence{", `runsc_meta_sandbox_presence{sandbox="running"} 1`)
	n.expect(page, running, `runsc_meta_sandbox_running{sandbox="running"} 1`)
	n.expect(page, "runsc_meta_num_sandboxes_restored ", "runsc_meta_num_sandboxes_restored 0")
	n.expect(page, total, "runsc_meta_num_sandboxes_total 2")
}
