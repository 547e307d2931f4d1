package collect

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sandmeter/sandmeter/internal/roots"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// serve changes the configured roots.
func (n *node) serve(configured ...string) {
	t := n.collector.table
	t.roots, t.ways, t.expander = configured, roots.NewWays(configured), roots.NewExpander(configured, t.guard)
}

// addRoot makes a second root with a sandbox.
func (n *node) addRoot(name, id string, opens int64) (path string, s *simulate.Sandbox) {
	n.Helper()
	path = filepath.Join(n.root, name)
	n.must(os.MkdirAll(path, 0o755))
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
	if len(n.collector.table.schemas.compiled) == 0 || n.collector.table.sorted[0].compiled != n.collector.table.sorted[1].compiled {
		t.Error("the same registration in two roots is compiled twice")
	}
	n.must(os.RemoveAll(later))
	n.expect(n.page(), opens, sample(3, two, "other"), sample(1, one, "same"))
	n.expectLog(`waiting for it to appear" root=` + missing)
}

// TestMissingRootLevel: a missing runtime root is a warning only if no other one can be read.
func TestMissingRootLevel(t *testing.T) {
	check := func(want string, roots ...string) {
		t.Helper()
		n := newNode(t, nil)
		for i, name := range roots {
			roots[i] = filepath.Join(n.root, name)
		}
		n.addRoot("one", "a", 1)
		n.serve(roots...)
		n.page()
		n.expectLog("level=" + want + ` msg="Runtime root does not exist`)
	}
	check("INFO", "missing", "one")
	check("INFO", "one", "missing")
	check("WARN", "missing")
}

// TestRootThatCannotBeRead: with several roots, an unreadable root affects only its own sandboxes.
func TestRootThatCannotBeRead(t *testing.T) {
	n := newNode(t, nil)
	one, _ := n.addRoot("one", "a", 1)
	file := filepath.Join(n.root, "file")
	n.must(os.WriteFile(file, nil, 0o644))
	n.serve(file, one)
	const readable, missing = "sandmeter_runtime_root_readable{", "sandmeter_runtime_root_missing{"
	for range 2 {
		page := n.page()
		n.expect(page, opens, opens+`runtime_root="`+one+`",sandbox="a"} 1`)
		n.expect(page, readable, readable+`runtime_root="`+file+`"} 0`, readable+`runtime_root="`+one+`"} 1`)
		n.expect(page, missing, missing+`runtime_root="`+file+`"} 0`, missing+`runtime_root="`+one+`"} 0`)
	}
	n.expectLog("Runtime root is not readable")
}

// TestEndedSandboxLeaves: unless ended sandboxes are kept, one leaves the page when its process
// ends, state file or not.
func TestEndedSandboxLeaves(t *testing.T) {
	n := newNode(t, func(o *Options) { o.Linger = 0 })
	n.start(simulate.Spec{ID: "ended", PID: -1, Restored: true})
	n.start(simulate.Spec{ID: "running"})
	page := n.page()
	n.expect(page, "runsc_meta_sandbox_presence{", `runsc_meta_sandbox_presence{sandbox="running"} 1`)
	n.expect(page, runningSeries, `runsc_meta_sandbox_running{sandbox="running"} 1`)
	n.expect(page, "runsc_meta_num_sandboxes_restored ", "runsc_meta_num_sandboxes_restored 0")
	n.expect(page, total, "runsc_meta_num_sandboxes_total 2")
}
