package collect

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

const (
	opens         = "runsc_fs_opens{"
	runningSeries = "runsc_meta_sandbox_running{"
	total         = "runsc_meta_num_sandboxes_total "
)

func TestSandboxesComeAndGo(t *testing.T) {
	n := newNode(t, func(o *Options) { o.Linger = 0 })
	a := n.start(simulate.Spec{ID: "a"})
	b := n.start(simulate.Spec{ID: "b"})
	n.expect(n.page(), runningSeries, `runsc_meta_sandbox_running{sandbox="a"} 1`, `runsc_meta_sandbox_running{sandbox="b"} 1`)
	c := n.start(simulate.Spec{ID: "ab"})
	n.expect(n.page(), runningSeries, `runsc_meta_sandbox_running{sandbox="a"} 1`, `runsc_meta_sandbox_running{sandbox="ab"} 1`, `runsc_meta_sandbox_running{sandbox="b"} 1`)
	a.Remove()
	c.Remove()
	page := n.page()
	n.expect(page, runningSeries, `runsc_meta_sandbox_running{sandbox="b"} 1`)
	n.expect(page, total, "runsc_meta_num_sandboxes_total 3")
	b.Remove()
	n.expect(n.page(), runningSeries)
}

func TestWhoIsServed(t *testing.T) {
	check := func(name, match, want string) {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, nil)
			n.collector.options.MatchAddress = strings.ReplaceAll(match, "ROOT", n.root)
			n.start(simulate.Spec{ID: "named", MetricServer: "localhost:1"})
			n.start(simulate.Spec{ID: "longer", MetricServer: "localhost:11"})
			n.start(simulate.Spec{ID: "expands", MetricServer: "%RUNTIME_ROOT%/m.sock"})
			n.start(simulate.Spec{ID: "not", Uninstrumented: true})
			if got := sandboxesIn(n.collect()); got != want {
				t.Errorf("served are %q, want %q", got, want)
			}
		})
	}
	check("all that have a registration", "", "expands longer named")
	check("equal addresses only", "localhost:1", "named")
	check("the root in an address", "ROOT/m.sock", "expands")
	check("no sandbox", "localhost:2", "")
}

// TestStalled: a sandbox that stalled gets a short timeout and is queried last, until it replies.
func TestStalled(t *testing.T) {
	const short = 300 * time.Millisecond
	n := newNode(t, func(o *Options) { o.SandboxTimeout = short })
	s := n.start(simulate.Spec{ID: "a", Frozen: true})
	began := time.Now()
	n.page()
	if took := time.Since(began); took < short {
		t.Errorf("the first scrape waited %v, less than the sandbox may take", took)
	}
	// From here on the full timeout is longer than a collection: with the full timeout, the reason
	// would be out_of_time instead of stalled.
	n.collector.options.SandboxTimeout = time.Minute
	n.start(simulate.Spec{ID: "b"})
	n.expectTimeout("a", stalledTimeout)
	snap := n.collect()
	if f := snap.Sandboxes[0].Failure; f == nil || f.Reason != failure.Stalled {
		t.Errorf("in the second scrape its failure is %v, want that it stalled", f)
	}
	n.expect(text(snap), opens, `runsc_fs_opens{sandbox="b"} 51`)
	n.expectTimeout("a", stalledTimeout)
	n.budget("b").used = time.Millisecond // independent of the speed of this machine
	if order := n.order(); !slices.Equal(order, []string{"b", "a"}) {
		t.Errorf("they are queried in the order %q", order)
	}
	s.Thaw()
	n.budget("a").limit = 20 * time.Second // no machine is too slow for that
	for _, want := range []time.Duration{40 * time.Second, time.Minute} {
		n.expect(n.page(), opens, `runsc_fs_opens{sandbox="a"} 51`, `runsc_fs_opens{sandbox="b"} 51`)
		n.expectTimeout("a", want)
	}
	if b := n.budget("a"); b.timeout(time.Hour) != time.Hour {
		t.Errorf("it has replied, and still counts as one that stalls: %+v", b)
	}
}

// expectTimeout checks the timeout of the next export query.
func (n *node) expectTimeout(id string, want time.Duration) {
	n.Helper()
	if got := n.budget(id).timeout(n.collector.options.SandboxTimeout); got != want {
		n.Errorf("the next query of %s gets %v, want %v", id, got, want)
	}
}

// order returns the IDs of sandboxes in the order in which the next collection queries them.
func (n *node) order() (ids []string) {
	for _, q := range exportQueries(nil, n.collector.table.sorted, nil) {
		ids = append(ids, q.(*exportQuery).life.facts.ID)
	}
	return ids
}

// budget returns the time budget of a sandbox's queries for metrics.
func (n *node) budget(id string) *timeBudget {
	return &queriesOf(n.life(id)).export.budget
}

// savingsBudget returns the time budget of a sandbox's queries for its savings.
func (n *node) savingsBudget(id string) *timeBudget {
	return &queriesOf(n.life(id)).savings.budget
}

// TestSavingsStall: a sandbox that replies to export queries, but not to savings queries, delays
// only one collection.
func TestSavingsStall(t *testing.T) {
	n := newNode(t, nil)
	s := n.start(simulate.Spec{ID: "a", Restored: true, SavedAtRestore: simulate.Savings{WallTimeSaved: time.Second},
		Behavior: simulate.On(simulate.MethodSavings, simulate.Stall)})
	const wall = "runsc_meta_sandbox_wall_time_saved_milliseconds{"
	n.look()
	n.savingsBudget("a").limit = 300 * time.Millisecond // as if that were the full timeout
	for range 2 {
		page := n.page()
		n.expect(page, wall, wall+`sandbox="a"} 0`)
		n.expect(page, opens, `runsc_fs_opens{sandbox="a"} 51`)
		if got := n.savingsBudget("a").timeout(time.Minute); got != stalledTimeout {
			t.Errorf("the next query for its savings gets %v, want %v", got, stalledTimeout)
		}
		n.expectTimeout("a", time.Minute)
	}
	s.SetBehavior(nil)
	n.savingsBudget("a").limit = 20 * time.Second // no machine is too slow for that
	n.expect(n.page(), wall, wall+`sandbox="a"} 1000`)
	n.expect(n.page(), wall, wall+`sandbox="a"} 1000`)
}

// TestDeadline: a collection ends at its deadline with the replies that have arrived.
func TestDeadline(t *testing.T) {
	n := newNode(t, nil)
	n.start(simulate.Spec{ID: "a"})
	n.collect() // so that one-time work is done
	n.start(simulate.Spec{ID: "b", Behavior: simulate.Stall})
	inTime(t, func(wait time.Duration) bool {
		snap := n.collectUntil(time.Now().Add(wait))
		if snap.Sandboxes[0].Failure != nil || n.budget("b").used == 0 {
			return false
		}
		n.expect(text(snap), opens, `runsc_fs_opens{sandbox="a"} 51`)
		if f := snap.Sandboxes[1].Failure; f == nil || f.Reason != failure.OutOfTime {
			t.Errorf("the failure is %v", f)
		}
		if b := n.budget("b"); b.limit != 0 {
			t.Errorf("its budget is %+v: it had used less than its time", b)
		}
		return true
	})
}

// inTime calls try with longer and longer times until it reports that the time was long enough for
// this machine.
func inTime(t *testing.T, try func(wait time.Duration) bool) {
	t.Helper()
	for wait := 100 * time.Millisecond; !try(wait); wait *= 2 {
		if wait > MaxDuration {
			t.Fatal("even the longest collection is too short here")
		}
	}
}

// TestNotReached: sandboxes that a collection does not reach go first in the next one.
func TestNotReached(t *testing.T) {
	n := newNode(t, nil)
	for i := range 300 { // more than are queried at once
		n.start(simulate.Spec{ID: fmt.Sprintf("a%03d", i), Frozen: true})
	}
	n.start(simulate.Spec{ID: "z"})
	inTime(t, func(wait time.Duration) bool {
		snap := n.collectUntil(time.Now().Add(wait))
		if z := snap.Sandboxes[300]; z.Failure == nil || z.Failure.Reason != failure.OutOfTime {
			t.Errorf("z was reached: %v", z.Failure)
		}
		order := n.order()
		reached := slices.IndexFunc(order, func(id string) bool { return !n.budget(id).missed })
		if z := slices.Index(order, "z"); reached >= 0 && reached < z {
			t.Errorf("%s was reached, and is queried before z, which was not", order[reached])
		}
		return reached >= 0
	})
}

// TestCuts: a cut has the replies that were verified in time, and does not affect the final
// snapshot.
func TestCuts(t *testing.T) {
	inTime(t, func(wait time.Duration) bool { return cutsAfter(t, wait) })
}

// cutsAfter is TestCuts with the first cut after wait. It reports whether that was enough time for
// a reply.
func cutsAfter(t *testing.T, wait time.Duration) bool {
	n := newNode(t, nil)
	n.start(simulate.Spec{ID: "a", Growth: 1, Points: []simulate.Point{{Metric: "fs_opens", Int: 0}}})
	n.collect()
	release := make(chan struct{})
	n.start(simulate.Spec{ID: "b", Behavior: func(x *simulate.Exchange) error {
		<-release
		return simulate.Honest(x)
	}})
	unblock := sync.OnceFunc(func() { close(release) })
	defer unblock()
	var cuts []*snapshot.Snapshot
	now := time.Now()
	snap := n.collectPlan(Plan{
		Deadline: now.Add(time.Minute),
		Cuts:     []time.Time{now.Add(wait), now.Add(wait + time.Millisecond), now.Add(time.Hour)},
		OnCut: func(i int, cut *snapshot.Snapshot) {
			if cuts = append(cuts, cut); len(cuts) != i+1 {
				t.Errorf("cut %d is number %d", i, len(cuts))
			}
			if i == 1 {
				unblock()
			}
		},
	})
	if len(cuts) == 0 || cuts[0].Sandboxes[0].Failure != nil || snap.Sandboxes[1].Failure != nil {
		return false // one of the two took longer than the time before the cuts, or after them
	}
	if len(cuts) != 2 {
		t.Fatalf("%d cuts, want 2", len(cuts))
	}
	for _, cut := range cuts {
		n.expect(text(cut), opens, `runsc_fs_opens{sandbox="a"} 2`)
		n.expect(text(cut), "runsc_meta_sandbox_failure{", `runsc_meta_sandbox_failure{reason="out_of_time",sandbox="b"} 1`)
		n.expect(text(cut), "runsc_meta_num_sandboxes_broken_metrics ", "runsc_meta_num_sandboxes_broken_metrics 1")
	}
	n.expect(text(snap), opens, `runsc_fs_opens{sandbox="a"} 2`, `runsc_fs_opens{sandbox="b"} 51`)
	n.expect(text(snap), "runsc_meta_sandbox_failure{")
	n.expectLog()
	return true
}

// TestSnapshotsAreImmutable: later collections do not change a snapshot.
func TestSnapshotsAreImmutable(t *testing.T) {
	n := newNode(t, nil)
	s := n.start(simulate.Spec{ID: "a", Growth: 1})
	first := n.collect()
	before := text(first)
	n.start(simulate.Spec{ID: "b"})
	n.collect()
	s.SetBehavior(simulate.Say("nonsense"))
	n.collect()
	s.Remove()
	n.collect()
	if after := text(first); after != before {
		t.Errorf("the snapshot was\n%s\nand is\n%s", before, after)
	}
}

// TestStop: a collection under way ends at once.
func TestStop(t *testing.T) {
	n := newNode(t, nil)
	n.start(simulate.Spec{ID: "a"})
	n.collect()
	reached := make(chan struct{})
	n.start(simulate.Spec{ID: "b", Behavior: func(x *simulate.Exchange) error {
		close(reached)
		return x.Stall()
	}})
	go func() {
		<-reached
		n.collector.Stop()
	}()
	if f := n.collect().Sandboxes[1].Failure; f == nil || f.Reason != failure.OutOfTime {
		t.Errorf("the failure is %v", f)
	}
}

// TestPod: capabilities and spec metadata are those of all current containers.
func TestPod(t *testing.T) {
	n := newNode(t, nil)
	s := n.start(simulate.Spec{ID: "pod", Pod: "web", Namespace: "shop", Root: simulate.Container{UID: 1000,
		Capabilities: &simulate.Capabilities{Effective: []string{"CAP_KILL"}}}})
	spec, capability := "runsc_meta_spec_metadata{", `runsc_meta_sandbox_capabilities{capability="`
	labels := `namespace_name="shop",`
	page := n.page()
	n.expect(page, spec, `runsc_meta_spec_metadata{hasuid0="false",`+labels+`nvproxy="false",ociversion="1.0.0",pod_name="web",sandbox="pod",tpuproxy="false"} 1`)
	n.expect(page, capability, capability+`KILL",`+labels+`pod_name="web",sandbox="pod"} 1`)
	n.update(s, func(s *simulate.Spec) {
		s.More = []simulate.Container{{ID: "worker", UID: 0, OCIVersion: "1.1.0", Capabilities: &simulate.Capabilities{Inheritable: []string{"CAP_CHOWN"}},
			Annotations: map[string]string{"dev.gvisor.internal.nvproxy": "true"}}}
	})
	page = n.page()
	n.expect(page, spec, `runsc_meta_spec_metadata{hasuid0="true",`+labels+`nvproxy="true",ociversion="INCONSISTENT",pod_name="web",sandbox="pod",tpuproxy="false"} 1`)
	n.expect(page, capability, capability+`CHOWN",`+labels+`pod_name="web",sandbox="pod"} 1`, capability+`KILL",`+labels+`pod_name="web",sandbox="pod"} 1`)
	n.expect(page, runningSeries, `runsc_meta_sandbox_running{`+labels+`pod_name="web",sandbox="pod"} 1`)
	n.update(s, func(s *simulate.Spec) { s.More = nil })
	n.expect(n.page(), capability, capability+`KILL",`+labels+`pod_name="web",sandbox="pod"} 1`)
}

func TestRestored(t *testing.T) {
	n := newNode(t, nil)
	n.start(simulate.Spec{ID: "asked", Restored: true, SavedAtRestore: simulate.Savings{CPUTimeSaved: -17800 * time.Microsecond, WallTimeSaved: 2 * time.Second}})
	n.start(simulate.Spec{ID: "checkpointed", Checkpointed: true, CPUTimeSaved: time.Second})
	told := n.start(simulate.Spec{ID: "told", Restored: true, CPUTimeSaved: 3 * time.Second, SavedAtRestore: simulate.Savings{CPUTimeSaved: 5 * time.Second}})
	page := n.page()
	n.expect(page, "runsc_meta_num_sandboxes_restored ", "runsc_meta_num_sandboxes_restored 2")
	n.expect(page, "runsc_meta_num_sandboxes_checkpointed ", "runsc_meta_num_sandboxes_checkpointed 1")
	const cpu, wall = "runsc_meta_sandbox_cpu_time_saved_milliseconds{", "runsc_meta_sandbox_wall_time_saved_milliseconds{"
	n.expect(page, cpu, cpu+`sandbox="asked"} -17`, cpu+`sandbox="checkpointed"} 0`, cpu+`sandbox="told"} 3000`)
	n.expect(page, wall, wall+`sandbox="asked"} 2000`, wall+`sandbox="checkpointed"} 0`, wall+`sandbox="told"} 0`)
	n.expect(n.page(), cpu, cpu+`sandbox="asked"} -17`, cpu+`sandbox="checkpointed"} 0`, cpu+`sandbox="told"} 3000`)
	if asked := told.Stats().Queries; asked != 2 {
		t.Errorf("a sandbox whose state file has its savings was asked %d times in 2 scrapes", asked)
	}
}

// TestLogOfOneThatChanges: a sandbox whose state changes with each scrape does not fill the log.
func TestLogOfOneThatChanges(t *testing.T) {
	n := newNode(t, nil)
	s := n.start(simulate.Spec{ID: "a", Behavior: func(x *simulate.Exchange) error {
		if x.N%2 == 0 {
			return x.Send([]byte(`{"success":false,"err":"no"}`))
		}
		return simulate.Honest(x)
	}})
	for range 50 {
		n.page()
	}
	refused, again := "reason=reply_refused", "Sandbox has metrics again"
	lines := []string{refused, again, refused, again, refused, again + `" sandbox=a silent_for=`}
	n.expectLog(lines...)
	// The current state is logged when the limit is over.
	s.SetBehavior(simulate.Say("nonsense"))
	for range 5 {
		n.page()
	}
	n.life("a").lines.since = time.Now().Add(-linesTime)
	for range 5 {
		n.page()
	}
	n.expectLog(append(lines, refused)...)
}

// TestNotInstrumented: a sandbox without a registration is logged once, unless the server is for one address.
func TestNotInstrumented(t *testing.T) {
	for address, want := range map[string][]string{"": {"create sandboxes with runsc's flag --metric-server\" sandbox=b"}, "other": nil} {
		n := newNode(t, func(o *Options) { o.MatchAddress = address })
		n.start(simulate.Spec{ID: "a"})
		n.start(simulate.Spec{ID: "b", Uninstrumented: true})
		n.start(simulate.Spec{ID: "c", Uninstrumented: true})
		for range 3 {
			n.page()
		}
		n.expectLog(want...)
	}
}

// TestLogOfManySandboxes: a failure of many sandboxes is one line with a count.
func TestLogOfManySandboxes(t *testing.T) {
	n := newNode(t, nil)
	const many = maxLinesPerCollection + 5
	var all []*simulate.Sandbox
	for i := range many {
		all = append(all, n.start(simulate.Spec{ID: fmt.Sprintf("s%02d", i), Pod: "web", Namespace: "shop"}))
	}
	n.page()
	seen := 0
	expect := func(what string, want map[string]int) {
		t.Helper()
		got := map[string]int{}
		log := n.log.String()
		for line := range strings.Lines(log[seen:]) {
			_, line, _ = strings.Cut(strings.TrimSuffix(line, "\n"), "msg=")
			got[sandboxAttr.ReplaceAllString(line, "")]++
		}
		seen = len(log)
		if !maps.Equal(got, want) {
			t.Errorf("%s: the log has\n%v\nwant\n%v", what, got, want)
		}
	}
	expect("all is well", map[string]int{})

	n.collectUntil(time.Now().Add(-time.Second))
	n.collectUntil(time.Now().Add(-time.Second))
	const outOfTime = `"Sandboxes have no metrics" reason=out_of_time count=25 sandboxes=25`
	expect("two collections without time", map[string]int{outOfTime: 2})
	n.page()
	expect("with time again", map[string]int{})

	for _, s := range all {
		s.SetBehavior(simulate.Say(`1`))
	}
	n.page()
	n.page()
	expect("all fail", map[string]int{
		`"Sandbox has no metrics" pod=web namespace=shop reason=reply_refused err="reply refused: malformed JSON"`: maxLinesPerCollection,
		`"More sandboxes lost or regained their metrics" count=5`:                                                  1,
	})

	for i := range many {
		n.must(os.WriteFile(filepath.Join(n.root, fmt.Sprintf("f%02d_sandbox:f%02d.state", i, i)), nil, 0o644))
	}
	n.page()
	expect("files may be half written", map[string]int{})
	n.pass(fileGrace)
	n.page()
	n.page()
	expect("files stay unreadable", map[string]int{
		`"State file is not readable" root=` + n.root + ` err="unexpected end of JSON"`: maxLinesPerCollection,
		`"More state files are not readable" root=` + n.root + ` count=5`:               1,
	})
}

var sandboxAttr = regexp.MustCompile(` (sandbox|file)=\S+`)

// TestDebugLog: level debug has a line for each collection, and for sandboxes that appear and disappear.
func TestDebugLog(t *testing.T) {
	var log testkit.Buffer
	n := newNode(t, func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	s := n.start(simulate.Spec{ID: "a", Pod: "web", Namespace: "shop"})
	n.start(simulate.Spec{ID: "b", Behavior: simulate.Say("no")})
	n.page()
	n.must(s.Remove())
	n.page()
	for _, want := range []string{
		"level=DEBUG msg=Collection roots=1 sandboxes=2 queries=2 without_metrics=1 took=",
		fmt.Sprintf(`msg="Sandbox appeared" sandbox=a pod=web namespace=shop pid=%d`, os.Getpid()),
		`msg="Sandbox disappeared" sandbox=a pod=web namespace=shop`,
	} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("the log is\n%s\nwant once %s", &log, want)
		}
	}
}

// TestLockedStateFiles: the server reads locked state files, since runsc holds the locks for
// seconds.
func TestLockedStateFiles(t *testing.T) {
	n := newNode(t, nil)
	s := n.start(simulate.Spec{ID: "a"})
	unlock, err := s.Lock("a")
	n.must(err)
	defer unlock()
	n.expect(n.page(), opens, `runsc_fs_opens{sandbox="a"} 51`)
}

// TestBaselineOfAnotherProcess: a reply is not compared with replies of another process, or with
// those to another registration.
func TestBaselineOfAnotherProcess(t *testing.T) {
	created := time.Now().UTC()
	check := func(name string, before, after simulate.Spec) {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, nil)
			before.ID, before.StartTime, before.Points = "a", created, []simulate.Point{{Metric: "fs_opens", Int: 100}}
			s := n.start(before)
			n.expect(n.page(), opens, `runsc_fs_opens{sandbox="a"} 100`)
			s.Stop()
			after.ID, after.StartTime, after.Points = "a", created, []simulate.Point{{Metric: "fs_opens", Int: 3}}
			n.start(after)
			n.expect(n.page(), opens, `runsc_fs_opens{sandbox="a"} 3`)
		})
	}
	small := &simulate.Registration{Metrics: []simulate.Metric{{Name: "/fs/opens", PrometheusName: "fs_opens", Cumulative: true}}}
	check("registration", simulate.Spec{}, simulate.Spec{Registration: small})
	check("process", simulate.Spec{OwnProcess: true}, simulate.Spec{})
}

// TestShareOfThePage: a sandbox with all series and the longest labels stays within maxShare.
func TestShareOfThePage(t *testing.T) {
	n := newNode(t, nil)
	all := simulate.AllSeries(simulate.RealRegistration())
	n.start(simulate.Spec{ID: "all", Pod: "web-0", Namespace: "shop", Points: all})
	n.start(simulate.Spec{ID: "long", Pod: strings.Repeat(`"`, maxName), Namespace: strings.Repeat(`"`, maxName), Points: all})
	page := n.page()
	if failures := series(page, "runsc_meta_sandbox_failure{"); len(failures) != 1 || !strings.HasSuffix(failures[0], `reason="too_long",sandbox="long"} 1`) {
		t.Errorf("failures are %q", failures)
	}
	if len(page) > maxShare {
		t.Errorf("the page has %d bytes", len(page))
	}
	n.expectLog("bytes of the page; the limit is 2097152")
}

// TestReady: a server is ready after a collection, or a look, has listed its roots. A root that is missing
// counts: runsc may make it later.
func TestReady(t *testing.T) {
	const want = "the runtime roots have not been listed yet; see the server's log"
	dir := t.TempDir()
	for _, list := range []func(*node){(*node).look, func(n *node) { n.collect() }} {
		for _, root := range []string{dir, dir + "/missing"} {
			n := newNode(t, func(o *Options) { o.Roots = []string{root} })
			if err := n.collector.Ready(); err == nil || err.Error() != want {
				t.Errorf("root %s, before a listing: %v", root, err)
			}
			list(n)
			if err := n.collector.Ready(); err != nil {
				t.Errorf("root %s, after a listing: %v", root, err)
			}
		}
	}
}

// TestCheckRoot: the error of a single root, before it is served.
func TestCheckRoot(t *testing.T) {
	check := func(root string, want error) {
		t.Helper()
		n := newNode(t, func(o *Options) { o.Roots = []string{root} })
		if err := n.collector.CheckRoot(); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", root, err, want)
		}
	}
	dir := t.TempDir()
	check(dir, nil)
	check(filepath.Join(dir, "missing"), os.ErrNotExist)
	check("/dev/null", unix.ENOTDIR)
	check(filepath.Join(dir, "*"), nil)
}

// TestMissingRoot: a single root that is missing, or cannot be read, is on the page, and the log has a line
// about it.
func TestMissingRoot(t *testing.T) {
	n := newNode(t, func(o *Options) { o.Linger = 0 })
	const readable = "sandmeter_runtime_root_readable "
	away := n.root + "x"
	n.start(simulate.Spec{ID: "a"})
	n.expect(n.page(), readable, readable+"1")
	n.must(os.Rename(n.root, away))
	for range 2 {
		page := n.page()
		n.expect(page, runningSeries)
		n.expect(page, readable, readable+"0")
	}
	n.must(os.WriteFile(n.root, nil, 0o644))
	n.expect(n.page(), readable, readable+"0")
	n.must(os.Remove(n.root))
	n.must(os.Rename(away, n.root))
	page := n.page()
	n.expect(page, runningSeries, `runsc_meta_sandbox_running{sandbox="a"} 1`)
	n.expect(page, readable, readable+"1")
	n.expectLog("does not exist; waiting for it", "not a directory", "Runtime root is readable")
}

// TestLog: one line per sandbox and reason, not one per scrape.
func TestLog(t *testing.T) {
	n := newNode(t, nil)
	s := n.start(simulate.Spec{ID: "a"})
	for range 3 {
		n.page()
	}
	s.SetBehavior(simulate.Say(`{"success":false,"err":"\u001b[31mred"}`))
	for range 3 {
		n.page()
	}
	n.must(s.WriteState("a", []byte(`{"garbage`)))
	const unreadable = "runsc_meta_num_state_files_unreadable"
	for _, files := range []string{" 0", " 1", " 1"} { // at first, it may be half written
		n.expect(n.page(), unreadable, unreadable+files)
		n.pass(fileGrace)
	}
	s.SetBehavior(nil)
	n.update(s, func(*simulate.Spec) {})
	for range 3 {
		n.page()
	}
	n.expectLog(
		`level=WARN msg="Sandbox has no metrics" sandbox=a reason=reply_refused err="reply refused: the sandbox reports an error (\"\\x1b[31mred\")"`,
		`level=WARN msg="State file is not readable" root=`+n.root+` file=a_sandbox:a.state err="unexpected end of JSON"`,
		`level=INFO msg="Sandbox has metrics again" sandbox=a`,
	)
}
