package expo

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protodelim"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// everySeries returns a snapshot of sandboxes that run, have failed, or have ended. Two of them report each
// series of a current runsc and of the histogram of registrationA. There are samples of each family of
// the server's own, with several label sets where there can be.
func everySeries(t testing.TB, r *rand.Rand) *snapshot.Snapshot {
	t.Helper()
	registered, err := schema.Compile(testkit.Testdata(t, "registration.json"))
	if err != nil {
		t.Fatal(err)
	}
	registered.ShowZeros(schema.Zeros{Plain: true, Names: []string{"weirdness", "suspicious_operations"}})
	snap := &snapshot.Snapshot{
		Began:  time.UnixMilli(pageTime - 5),
		Time:   time.UnixMilli(pageTime),
		Roots:  []snapshot.Root{{Path: "/r"}, {Path: "/s", Err: fs.ErrNotExist}},
		Server: everyCount(r),
	}
	add := func(phase snapshot.Phase, s *schema.Schema) *snapshot.Sandbox {
		box := snapshot.Sandbox{Identity: everyFact(labels("i", "prod-ns", "nginx", fmt.Sprint("s", len(snap.Sandboxes)))), Phase: phase, Usage: everyFigure(r)}
		if s != nil {
			box.Reported = everyField(s, box.Labels, r)
		}
		snap.Sandboxes = append(snap.Sandboxes, box)
		return &snap.Sandboxes[len(snap.Sandboxes)-1]
	}
	add(snapshot.Running, registered)
	add(snapshot.Running, compileKind(t, registrationA).Schema)
	add(snapshot.Running, nil).Query = snapshot.Query{Failure: failure.Newf(failure.Stalled, "no reply"), Took: time.Second}
	add(snapshot.Ended, nil).End = &snapshot.End{Time: snap.Time, Lifetime: time.Second, Outcome: snapshot.Failed, Code: 3}
	add(snapshot.Ended, nil).End = &snapshot.End{Time: snap.Time, Lifetime: time.Second, Outcome: snapshot.Killed, Signal: 9}
	return snap
}

// everyCount returns counts of everything that the server counts.
func everyCount(r *rand.Rand) snapshot.Server {
	count := func() fact.Figure { return fact.Of(r.Int64N(100), true) }
	return snapshot.Server{
		Sandboxes: snapshot.Census{Served: r.IntN(100), Failures: map[failure.Reason]int{failure.PageBudget: 1, failure.ReplyBudget: 2}},
		Counters: snapshot.Counters{ConnectionsClosed: count(), ExitEventsMissing: count(), FinalLogsRefused: count(), FinalRecordsDropped: count(), FinalRecordsWritten: count(),
			InotifyOverflows: count(), LogLinesDropped: count(), ResponsesCutOff: count(), Unregistrations: count()},
	}
}

// everyFact returns the identity of a sandbox with three containers, two of which have the same name.
func everyFact(l *snapshot.Labels) *snapshot.Identity {
	identity := &snapshot.Identity{Labels: l, CreatedAt: time.Unix(1, 0), Spec: &snapshot.Spec{
		Metadata:     []snapshot.Pair{{Name: "platform", Value: "systrap"}, {Name: "version", Value: "1"}},
		Capabilities: []string{"CHOWN", "KILL"},
	}}
	for i, name := range []string{"web", "db", "web"} {
		identity.Containers = append(identity.Containers, snapshot.Container{ID: fmt.Sprint("c", i), Name: name, CreatedAt: time.Unix(int64(i)+2, 0), CPULimit: 1, MemoryLimit: 1})
	}
	return identity
}

// everyFigure returns usage of a sandbox of everyFact with each figure, and with two network interfaces.
func everyFigure(r *rand.Rand) *snapshot.Usage {
	seconds := func() int64 { return r.Int64N(100) * int64(time.Second) }
	ratio := snapshot.Ratio{Value: 0.5, Known: true}
	u := &snapshot.Usage{
		Unknown:      []fact.Reason{fact.NetworkShared, fact.OutOfTime},
		Unattributed: fact.Of(seconds(), true),
		Differences:  snapshot.Differences{CPU: ratio, Memory: ratio, NetworkTransmit: ratio},
	}
	for q := range fact.Quantities {
		u.Set(q, seconds())
	}
	u.Set(fact.OOMKills, r.Int64N(100)) // the only count
	for i, name := range []string{"web", "db", "web"} {
		u.Shares = append(u.Shares, snapshot.Share{ID: fmt.Sprint("c", i), Name: name, CPU: seconds()})
		u.Memory = append(u.Memory, fact.Of(r.Int64N(100), true))
		u.Processes = append(u.Processes, fact.Of(r.Int64N(100), true))
	}
	for _, name := range []string{"eth0", "eth1"} {
		card := fact.Interface{Name: name}
		for i := range card.Counters {
			card.Counters[i] = r.Int64N(100)
		}
		u.Interfaces = append(u.Interfaces, card)
	}
	return u
}

// everyField returns a source with nearly all series of a registration.
func everyField(s *schema.Schema, l *snapshot.Labels, r *rand.Rand) snapshot.Source {
	src := snapshot.Source{Labels: l, Schema: s}
	for i := range s.Metrics {
		m := &s.Metrics[i]
		for series := m.First; series < m.First+m.Series; series++ {
			if r.IntN(10) == 0 {
				continue
			}
			value := r.Int64N(100)
			if m.Type == schema.Histogram {
				value = int64(len(src.Histograms))
				src.Histograms = append(src.Histograms, snapshot.Histogram{Counts: make([]uint64, len(m.Bounds)+1)})
				for k := range src.Histograms[value].Counts {
					src.Histograms[value].Counts[k] = r.Uint64N(100)
				}
			}
			src.Samples = append(src.Samples, snapshot.Sample{Metric: int32(i), Series: series, Value: value})
		}
	}
	return src
}

// checkOwn checks that the page has each family of the server's own.
func checkOwn(t *testing.T, p *page.Page) {
	t.Helper()
	walk := p.Walk()
	for i := range p.Families {
		f, found := &p.Families[i], false
		for range walk.Samples(f) {
			found = true
		}
		if !found && strings.HasPrefix(f.Name, "sandmeter_") {
			t.Errorf("%s has no samples", f.Name)
		}
	}
}

// TestUniqueSeries: no format of a page with all families has a series twice.
func TestUniqueSeries(t *testing.T) {
	snap := everySeries(t, rand.New(rand.NewPCG(1, 2)))
	options := families.Options{ShowTime: true, BuildInfo: []snapshot.Label{{Name: "goarch", Value: "amd64"}, {Name: "version", Value: "1"}}}
	p := page.NewBuilder(page.Options{Prefix: "runsc_", Naming: page.PrometheusNaming, Families: options}).Build(snap, page.Selection{})
	checkOwn(t, p)
	checkUnique(t, "text", seriesOfText(string(Text{}.Append(nil, p))))
	checkUnique(t, "OpenMetrics", seriesOfText(string(OpenMetrics{}.Append(nil, p))))
	checkUnique(t, "protobuf", seriesOfProtobuf(t, Protobuf{}.Append(nil, p)))
}

func checkUnique(t *testing.T, format string, series []string) {
	t.Helper()
	slices.Sort(series)
	for i := 1; i < len(series); i++ {
		if series[i] == series[i-1] {
			t.Errorf("the %s page has twice %s", format, series[i])
		}
	}
	if len(series) < 100 {
		t.Errorf("the %s page has %d series", format, len(series))
	}
}

// seriesOfText returns the series of a page without timestamps: its lines without values.
func seriesOfText(text string) (series []string) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			series = append(series, line[:strings.LastIndexByte(line, ' ')])
		}
	}
	return series
}

func seriesOfProtobuf(t *testing.T, page []byte) (series []string) {
	t.Helper()
	for r := bufio.NewReader(bytes.NewReader(page)); ; {
		var f dto.MetricFamily
		err := protodelim.UnmarshalFrom(r, &f)
		if errors.Is(err, io.EOF) {
			return series
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range f.Metric {
			series = append(series, f.GetName()+fmt.Sprint(m.Label))
		}
	}
}

// TestConcurrentPages: several goroutines build and render pages of one snapshot.
func TestConcurrentPages(t *testing.T) {
	rules := page.NewSeriesRules(nil, []string{"runsc_fs_.*"})
	b := page.NewBuilder(page.Options{Prefix: "runsc_", Naming: page.PrometheusNaming, Series: rules})
	snap := everySeries(t, rand.New(rand.NewPCG(3, 4)))
	texts := make(chan string)
	for range 4 {
		go func() { texts <- render(b.Build(snap, page.Selection{})) }()
	}
	first := <-texts
	for range 3 {
		if text := <-texts; text != first {
			t.Error("two pages differ")
		}
	}
}

// BenchmarkSeriesRules builds and renders a page of 1,000 sandboxes without rules, and with rules about
// families.
func BenchmarkSeriesRules(b *testing.B) {
	const sandboxes, points = 1000, 60
	for _, c := range []struct {
		name  string
		allow []string
	}{
		{name: "none"},
		{name: "allow", allow: []string{".*"}},
		{name: "allow-few", allow: []string{"runsc_fs_.*"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			snap := benchmarkSnapshot(b, sandboxes, points)
			rules := page.NewSeriesRules(c.allow, nil)
			builder := page.NewBuilder(page.Options{Prefix: "runsc_", Naming: page.RunscNaming, Families: families.Options{DropIn: true}, Series: rules})
			text := Text{}.Append(nil, builder.Build(snap, page.Selection{}))
			b.ReportAllocs()
			for b.Loop() {
				text = Text{}.Append(text[:0], builder.Build(snap, page.Selection{}))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*sandboxes), "ns/sandbox")
		})
	}
}
