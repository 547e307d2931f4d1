package totals

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

func by(t testing.TB, text string) By {
	t.Helper()
	b, err := ParseBy(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseBy(t *testing.T) {
	takes := func(text, namespace, annotation, want string) {
		t.Helper()
		if got := by(t, text).Of(namespace, annotation); got != want {
			t.Errorf("by %s, the group is %q, want %q", text, got, want)
		}
	}
	takes("none", "shop", "blue", "")
	takes("namespace", "shop", "blue", "shop")
	takes("namespace", "", "blue", "")
	takes("annotation:example.com/team", "shop", "blue", "blue")
	takes("annotation:example.com/team", "shop", "", "")
	if key := by(t, "annotation:a:b").Annotation(); key != "a:b" {
		t.Errorf("the key is %q", key)
	}
	if key := by(t, "namespace").Annotation(); key != "" {
		t.Errorf("the key is %q", key)
	}
	for _, text := range []string{"", "off", "pod", "annotation", "annotation:", "annotation:" + strings.Repeat("a", maxKey+1), "Namespace"} {
		if _, err := ParseBy(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

// sourceOf returns the samples of the totals, as pages have them.
func sourceOf(l *Ledger) snapshot.Source {
	return families.New(families.Options{}).Of(&snapshot.Snapshot{Totals: l.View()}).Totals
}

// groupsOf returns the values of the label group of a family, with the value of each series.
func groupsOf(l *Ledger, family string) map[string]int64 {
	values := map[string]int64{}
	src := sourceOf(l)
	for _, s := range src.Samples {
		if src.Metric(s).Name == family {
			values[src.Sets[s.Series].Pairs[0].Value] = s.Value
		}
	}
	return values
}

// TestGroups: each sandbox counts in its group, whose name cannot be mistaken for another.
func TestGroups(t *testing.T) {
	l := New(Options{By: by(t, "namespace")})
	for _, name := range []string{"shop", "", "shop", "_other", "__other", "a\nb", strings.Repeat("x", maxName), strings.Repeat("x", maxName+1), "\xff"} {
		l.Begin(l.Group(name, "not used"), false)
	}
	want := map[string]int64{"shop": 2, "": 1, "__other": 1, "___other": 1, "a\nb": 1, strings.Repeat("x", maxName): 1, "_other": 2}
	if got := groupsOf(l, "sandmeter_sandboxes_started_total"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if got := value(t, l, "sandmeter_totals_groups"); got != 6 {
		t.Errorf("there are %d groups", got)
	}
	if got := value(t, l, "sandmeter_totals_group_overflows_total"); got != 2 {
		t.Errorf("%d sandboxes are beyond", got)
	}
}

// TestOverflow: groups beyond the limit share one. Those that exist go on.
func TestOverflow(t *testing.T) {
	l := New(Options{By: by(t, "namespace")})
	for range 2 {
		for i := range maxGroups + 5 {
			l.Begin(fmt.Sprint(i), false).Observe(measured(1, 0, 0, 0))
		}
	}
	for _, family := range []string{"sandmeter_sandboxes_started_total", "sandmeter_sandboxes_cpu_seconds_total"} {
		got := groupsOf(l, family)
		if len(got) != maxGroups+1 || got["0"] != 2 || got["999"] != 2 || got[overflowGroup] != 10 {
			t.Errorf("%s has %d groups, %d in the overflow", family, len(got), got[overflowGroup])
		}
	}
	if groups, beyond := value(t, l, "sandmeter_totals_groups"), value(t, l, "sandmeter_totals_group_overflows_total"); groups != maxGroups || beyond != 10 {
		t.Errorf("%d groups, and %d sandboxes beyond", groups, beyond)
	}
}

// TestNoGroups: without groups, a name counts for nothing.
func TestNoGroups(t *testing.T) {
	l := New(Options{})
	l.Begin("shop", false)
	l.Begin("", false)
	if v := l.View(); v.Grouped || len(v.Groups) != 1 || v.Groups[0].Name != "" || v.Groups[0].Started != 2 {
		t.Errorf("the totals are %+v", v)
	}
}

// TestNoUsage: totals tell that nothing is measured, so that 0 is on no page.
func TestNoUsage(t *testing.T) {
	if New(Options{NoUsage: true}).View().Measured || !New(Options{}).View().Measured {
		t.Error("without usage, totals are measured, or with it they are not")
	}
}

// TestViewsAreImmutable: totals in a snapshot stay as they are, and share memory with the next ones as
// far as nothing changed.
func TestViewsAreImmutable(t *testing.T) {
	l := New(Options{By: by(t, "namespace"), Metrics: []string{"fs_read_wait"}})
	life := l.Begin("a", false)
	ended := func() *snapshot.Sandbox {
		s := measured(5e9, 1, 1, 1)
		s.End = &snapshot.End{Outcome: snapshot.Exited, Lifetime: time.Second, MemoryPeak: 1 << 30}
		return s
	}
	l.Begin("a", false).End(ended())
	first := l.View()
	text := fmt.Sprintf("%+v", *first)

	if l.View() != first {
		t.Error("nothing changed, and the totals are made anew")
	}
	life.Observe(measured(7e9, 0, 0, 0))
	next := l.View()
	if next == first || next.Groups[0].CPU != 12e9 || !shareHistograms(&next.Groups[0], &first.Groups[0]) {
		t.Errorf("only a sum changed, and the totals are %+v", next)
	}
	life.Observe(reported(compile(t, registration), "fs_read_wait", 7)) // tells the unit
	life.End(ended())
	l.Begin("b", false).End(ended())
	last := l.View()
	if len(last.Groups) != 2 || last.Groups[0].Lifetimes.Count() != 2 || last.Groups[1].Lifetimes.Count() != 1 || last.Counters[0].Unit != schema.Nanoseconds {
		t.Errorf("the last totals are %+v", last)
	}
	if got := fmt.Sprintf("%+v", *first); got != text {
		t.Errorf("the first totals changed\nfrom %s\nto   %s", text, got)
	}
}

// shareHistograms reports whether two groups have the same memory for their histograms.
func shareHistograms(a, b *snapshot.TotalsGroup) bool {
	same := func(a, b snapshot.Histogram) bool { return &a.Counts[0] == &b.Counts[0] }
	return same(a.Lifetimes, b.Lifetimes) && same(a.CPUTimes, b.CPUTimes) && same(a.MemoryPeaks, b.MemoryPeaks)
}

// FuzzGroups: whatever names users choose, labels are valid, bounded and of one group, and no sandbox
// is lost.
func FuzzGroups(f *testing.F) {
	f.Add("a", "b")
	f.Add("_other", "__other")
	f.Add("\xff", strings.Repeat("é", 64))
	f.Add(strings.Repeat("é", 64)+"x", "_"+strings.Repeat("é", 64))
	f.Add("", "_")
	f.Fuzz(func(t *testing.T, a, b string) {
		l := New(Options{By: By{namespace: true}})
		l.Begin(a, false)
		l.Begin(b, false)
		groups := groupsOf(l, "sandmeter_sandboxes_started_total")
		started := int64(0)
		for label, n := range groups {
			started += n
			if !utf8.ValidString(label) || len(label) > maxName+1 {
				t.Errorf("%q is no label", label)
			}
		}
		beyond := value(t, l, "sandmeter_totals_group_overflows_total")
		if started != 2 || groups[overflowGroup] != beyond {
			t.Errorf("%q and %q: %v, %d beyond", a, b, groups, beyond)
		}
		if together := len(groups) == 1; beyond == 0 && together != (a == b) {
			t.Errorf("%q and %q: %v", a, b, groups)
		}
	})
}

// busy returns a ledger of n lives in groups, and an observation of each.
func busy(t testing.TB, n, groups int) (*Ledger, func()) {
	s := compile(t, registration)
	l := New(Options{By: by(t, "namespace"), Metrics: []string{"fs_opens", "weirdness"}})
	sandbox := measured(0, 0, 0, 0)
	sandbox.Reported = reported(s, "weirdness", 1, 2, 3).Reported
	lives := make([]*Life, n)
	for i := range lives {
		lives[i] = l.Begin(fmt.Sprint(i%groups), false)
	}
	round := int64(0)
	return l, func() {
		round++
		sandbox.Usage.Set(fact.CPU, round*int64(time.Second))
		sandbox.Usage.Set(fact.OOMKills, round)
		sandbox.Usage.Interfaces[0].Counters = traffic(round, round)
		sandbox.Reported.Samples[0].Value = round
		for _, life := range lives {
			life.Observe(sandbox)
		}
	}
}

// TestAllocations: observations allocate nothing, and totals do not allocate per group.
func TestAllocations(t *testing.T) {
	l, observe := busy(t, 1000, 100)
	observe() // learns the interfaces
	if n := testing.AllocsPerRun(10, observe); n != 0 {
		t.Errorf("observing 1,000 sandboxes allocates %v times", n)
	}
	l.View()
	if n := testing.AllocsPerRun(10, func() { observe(); l.View() }); n > 3 {
		t.Errorf("totals of 100 groups allocate %v times", n)
	}
	if n := testing.AllocsPerRun(10, func() { l.View() }); n != 0 {
		t.Errorf("unchanged totals allocate %v times", n)
	}
}
