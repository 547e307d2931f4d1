package collect

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/clock"
	"github.com/sandmeter/sandmeter/internal/expo"
	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/guard"
	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// node is a runtime root of simulated sandboxes, and a collector of it.
type node struct {
	*testing.T
	root      string
	collector *Collector
	log       testkit.Buffer
	clock     *testClock
	mistakes  bool // a life may make moves that are not allowed
}

var testStart = time.Unix(1795338760, 112779000)

// newNode returns a node whose collector has the usual options, modified by change.
func newNode(t *testing.T, change func(*Options)) *node {
	t.Helper()
	root := testkit.TempDir(t)
	n := &node{T: t, root: root, clock: &testClock{Clock: clock.Real, now: time.Now}}
	// A sandbox may take as long as the collection, so that no reply is late on a slow machine.
	o := Options{Roots: []string{root}, Linger: time.Hour, LingerMax: 1000, SandboxTimeout: time.Minute, Clock: n.clock}
	o.Logger = slog.New(slog.NewTextHandler(&n.log, nil))
	o.Guard = guard.New(patient{}) // a root hangs if a test marks it, and not on a slow machine
	if change != nil {
		change(&o)
	}
	var err error
	if n.collector, err = New(o); err != nil {
		t.Fatal(err)
	}
	// Simulated sandboxes are processes of the test.
	n.collector.looksLike = func(pid int, _ *state.Sandbox, _ bool) bool { return pid == os.Getpid() || isChild(pid) }
	n.collector.kernelLevels = 1
	t.Cleanup(func() {
		if err := n.collector.Close(); err != nil {
			t.Error(err)
		}
		if n.countMistakes() > 0 && !n.mistakes {
			t.Errorf("a life made a move that is not allowed; the log is\n%s", n.log.String())
		}
	})
	return n
}

// patient is a clock whose timers do not end.
type patient struct{ clock.Clock }

func (patient) Timer(time.Duration) (<-chan time.Time, func()) { return nil, func() {} }

// A testClock is the machine's clock, except that it may tell another time.
type testClock struct {
	clock.Clock
	mu  sync.Mutex
	now func() time.Time
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

// set makes the clock tell another time.
func (c *testClock) set(now func() time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// isChild reports whether a process is a child of this one, and no zombie.
func isChild(pid int) bool {
	var state rune
	var parent int
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, err := fmt.Sscanf(string(stat[1+bytes.LastIndexByte(stat, ')'):]), " %c %d", &state, &parent)
	return err == nil && parent == os.Getpid() && state != 'Z'
}

// now returns the time of the collector.
func (n *node) now() time.Time { return n.clock.Now() }

// pass advances the clock of the log.
func (n *node) pass(d time.Duration) {
	n.clock.mu.Lock()
	defer n.clock.mu.Unlock()
	now := n.clock.now
	n.clock.now = func() time.Time { return now().Add(d) }
}

// must fails the test at once if there is an error.
func (n *node) must(err error) {
	n.Helper()
	if err != nil {
		n.Fatal(err)
	}
}

// start starts a sandbox of the node.
func (n *node) start(spec simulate.Spec) *simulate.Sandbox {
	n.Helper()
	return testkit.Start(n, n.root, spec)
}

// update changes a sandbox.
func (n *node) update(s *simulate.Sandbox, change func(*simulate.Spec)) {
	n.Helper()
	n.must(s.Update(change))
}

// look lists the roots without a collection.
func (n *node) look() {
	n.Helper()
	n.must(n.collector.Look())
}

// life returns the life of a sandbox that has a state file; nil: there is none.
func (n *node) life(id string) *life { return n.collector.table.inventories[0].byID[id] }

// finish closes the lives of sandboxes that have ended, after those that are being closed.
func (n *node) finish(all bool) { n.collector.finishEnded(all, time.Time{}) }

// collect makes a collection without a deadline.
func (n *node) collect() *snapshot.Snapshot {
	n.Helper()
	return n.collectUntil(n.now().Add(time.Minute))
}

func (n *node) collectUntil(deadline time.Time) *snapshot.Snapshot {
	n.Helper()
	return n.collectPlan(Plan{Deadline: deadline})
}

func (n *node) collectPlan(plan Plan) *snapshot.Snapshot {
	n.Helper()
	snap, err := n.collector.Collect(plan)
	n.must(err)
	return snap
}

// text returns the whole page of a snapshot, without times.
func text(snap *snapshot.Snapshot) string { return textWith(snap, families.Options{}) }

// textWith is text with options for the families.
func textWith(snap *snapshot.Snapshot, o families.Options) string {
	o.StartTime = testStart
	p := page.NewBuilder(page.Options{Prefix: "runsc_", Naming: page.RunscNaming, Timestamps: true, Families: o}).Build(snap, page.Selection{})
	return sampleTime.ReplaceAllString(string(expo.Text{}.Append(nil, p)), "")
}

var sampleTime = regexp.MustCompile(`(?m) \d{13}$`)

// page returns the whole page of a new collection, without times.
func (n *node) page() string {
	n.Helper()
	return text(n.collect())
}

// series returns the samples whose lines begin with start, without the label iteration.
func series(page, start string) []string {
	var found []string
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, start) {
			found = append(found, iterationLabel.ReplaceAllString(strings.TrimSuffix(line, "\n"), ""))
		}
	}
	return found
}

var iterationLabel = regexp.MustCompile(`iteration="\w+",`)

// expect checks that the page has exactly the given samples among those that begin with start.
func (n *node) expect(page, start string, want ...string) {
	n.Helper()
	if got := series(page, start); !slices.Equal(got, want) {
		n.Errorf("samples of %s\ngot  %s\nwant %s", start, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

// logLines returns the lines of the log.
func (n *node) logLines() []string { return slices.Collect(strings.Lines(n.log.String())) }

// expectLog checks the lines of the log so far, which are compared by a part of each.
func (n *node) expectLog(want ...string) {
	n.Helper()
	matches := func(line, part string) bool { return strings.Contains(line, part) }
	if lines := n.logLines(); !slices.EqualFunc(lines, want, matches) {
		n.Errorf("the log is\n%s\nwant lines with\n%s", strings.Join(lines, ""), strings.Join(want, "\n"))
	}
}

// joinSorted returns lines, sorted, as one.
func joinSorted(lines []string) string {
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}
