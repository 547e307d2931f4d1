package page

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// fielded has a counter with the fields x (3 values) and y (2), a gauge and a histogram with x, and
// a counter without fields.
func fielded(t testing.TB) *schema.Schema {
	t.Helper()
	const x = `{"field_name":"x","allowed_values":["a","b","c"]}`
	s, err := schema.Compile([]byte(`{"metrics":[
		{"name":"/c","prometheus_name":"c","cumulative":true,"fields":[` + x + `,{"field_name":"y","allowed_values":["p","q"]}]},
		{"name":"/g","prometheus_name":"g","fields":[` + x + `]},
		{"name":"/h","prometheus_name":"h","type":1,"distribution_bucket_lower_bounds":[10],"fields":[` + x + `]},
		{"name":"/z","prometheus_name":"z","cumulative":true}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Indexes of the metrics of fielded.
const (
	fieldedC = iota
	fieldedG
	fieldedH
	fieldedZ
)

// valuesOf renders the samples of a source that a page shows, as "name{x=a,y=p} value".
func valuesOf(src *snapshot.Source) string {
	var lines []string
	for _, s := range src.WithZeros() {
		m := src.Metric(s)
		var labels []string
		if m.Open {
			for _, l := range src.Sets[s.Series].Pairs {
				labels = append(labels, l.Name+"="+l.Value)
			}
		} else {
			for i, value := range m.Labels(s.Series) {
				labels = append(labels, m.Fields[i].Name+"="+value)
			}
		}
		value := fmt.Sprint(s.Value)
		switch {
		case m.Type == schema.Histogram:
			value = fmt.Sprint(src.Histogram(s).Counts)
		case m.Float:
			value = fmt.Sprint(s.Float())
		}
		lines = append(lines, fmt.Sprintf("%s{%s} %s", m.Name, strings.Join(labels, ","), value))
	}
	return strings.Join(lines, "\n")
}

// droppedFrom returns what is left of a source, and fails the test if it changes what src refers to.
func droppedFrom(t *testing.T, src snapshot.Source, names ...string) *snapshot.Source {
	t.Helper()
	d, err := schema.NewDrop(names)
	if err != nil {
		t.Fatal(err)
	}
	before := valuesOf(&src)
	reduced := src
	dropFrom(&reduced, d)
	if after := valuesOf(&src); after != before {
		t.Errorf("without %q the source itself has changed to\n%s", names, after)
	}
	return &reduced
}

func TestDropFields(t *testing.T) {
	s := fielded(t)
	sample := func(metric int, offset uint32, value int64) snapshot.Sample {
		return snapshot.Sample{Metric: int32(metric), Series: s.Metrics[metric].First + offset, Value: value}
	}
	src := snapshot.Source{Labels: &snapshot.Labels{Sandbox: "s"}, Schema: s,
		Samples: []snapshot.Sample{
			sample(fieldedC, 0, 1), sample(fieldedC, 1, 2), sample(fieldedC, 3, 4), sample(fieldedC, 4, 8), // x=a,y=p  x=a,y=q  x=b,y=q  x=c,y=p
			sample(fieldedG, 0, 5), sample(fieldedG, 2, -7), sample(fieldedH, 1, 0), sample(fieldedH, 2, 1), sample(fieldedZ, 0, 9)},
		Histograms: []snapshot.Histogram{{Counts: []uint64{1, 2}}, {Counts: []uint64{10, 20}}}}
	check := func(names string, want ...string) {
		t.Helper()
		if got := valuesOf(droppedFrom(t, src, strings.Fields(names)...)); got != strings.Join(want, "\n") {
			t.Errorf("without %s: got\n%s\nwant\n%s", names, got, strings.Join(want, "\n"))
		}
	}
	check("x", "c{y=p} 9", "c{y=q} 6", "g{} -2", "h{} [11 22]", "z{} 9")
	check("y", "c{x=a} 3", "c{x=b} 4", "c{x=c} 8", "g{x=a} 5", "g{x=c} -7", "h{x=b} [1 2]", "h{x=c} [10 20]", "z{} 9")
	check("x y", "c{} 15", "g{} -2", "h{} [11 22]", "z{} 9")
	check("pod_name", strings.Split(valuesOf(&src), "\n")...)
	if same := droppedFrom(t, src, "pod_name", "other"); &same.Samples[0] != &src.Samples[0] || same.Schema != src.Schema {
		t.Error("a source without the labels has a copy of the samples")
	}
	s.ShowZeros(schema.Zeros{Plain: true, Names: []string{"c"}})
	src.Samples, src.Histograms, s = nil, nil, fielded(t)
	s.ShowZeros(schema.Zeros{Plain: true, Names: []string{"c"}})
	src.Schema = s
	src.Samples = []snapshot.Sample{sample(fieldedC, 3, 4)}
	check("x", "c{y=p} 0", "c{y=q} 4", "z{} 0") // zeros of the other series too
	check("y", "c{x=a} 0", "c{x=b} 4", "c{x=c} 0", "z{} 0")
	check("x y", "c{} 4", "z{} 0")
}

// usageOfThree returns the usage of a sandbox with three containers, two of which have the same name,
// and with two network interfaces.
func usageOfThree() snapshot.Source {
	box := snapshot.Sandbox{Identity: &snapshot.Identity{Labels: &snapshot.Labels{Sandbox: "s"}}, Usage: &snapshot.Usage{Unknown: []fact.Reason{"a", "b"}}}
	for i, name := range []string{"web", "db", "web"} {
		id := fmt.Sprint(i)
		box.Containers = append(box.Containers, snapshot.Container{ID: id, Name: name, CreatedAt: time.Unix(100-int64(i), 0)})
		box.Usage.Shares = append(box.Usage.Shares, snapshot.Share{ID: id, Name: name, CPU: int64(i)*1e9 + 5e8})
	}
	box.Usage.Set(fact.Memory, 7)
	box.Usage.Interfaces = []fact.Interface{
		{Name: "eth0", Counters: [fact.InterfaceCounters]int64{fact.ReceiveBytes: 10}},
		{Name: "eth1", Counters: [fact.InterfaceCounters]int64{fact.ReceiveBytes: 20}},
	}
	return families.New(families.Options{}).Of(snapshotOf(box)).Sandboxes[0].Usage
}

func TestDropOfSets(t *testing.T) {
	const cpu, start = "sandmeter_container_cpu_seconds_total", "sandmeter_container_start_time_seconds"
	const received, absent = "sandmeter_sandbox_network_receive_bytes_total", "sandmeter_sandbox_usage_absent"
	src := usageOfThree()
	check := func(names string, want ...string) {
		t.Helper()
		var got []string
		for line := range strings.SplitSeq(valuesOf(droppedFrom(t, src, strings.Fields(names)...)), "\n") {
			if name, _, _ := strings.Cut(line, "{"); slices.Contains([]string{cpu, start, received, absent}, name) {
				got = append(got, line)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("without %s: got\n%s\nwant\n%s", names, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	check("container_id", cpu+"{container=web} 3", cpu+"{container=db} 1.5", start+"{container=web} 100", start+"{container=db} 99",
		received+"{interface=eth0} 10", received+"{interface=eth1} 20", absent+"{reason=a} 1", absent+"{reason=b} 1")
	check("interface reason container", cpu+"{container_id=0} 0.5", cpu+"{container_id=1} 1.5", cpu+"{container_id=2} 2.5",
		start+"{container_id=0} 100", start+"{container_id=1} 99", start+"{container_id=2} 98", received+"{} 30", absent+"{} 1")
	check("container container_id", cpu+"{} 4.5", start+"{} 100",
		received+"{interface=eth0} 10", received+"{interface=eth1} 20", absent+"{reason=a} 1", absent+"{reason=b} 1")
}

// TestDropOnPage: identity labels disappear from each source of a page but cAdvisor's families, and
// the label sets of those are not changed.
func TestDropOnPage(t *testing.T) {
	box := reporting("a", fielded(t))
	box.Labels.Pod, box.Labels.Namespace = "p", "n"
	box.Spec.Capabilities = []string{"CHOWN", "KILL"}
	b := NewBuilder(Options{Prefix: "runsc_", Families: families.Options{Usage: families.BothNames}, Series: mustRule(t, nil, nil, []string{"pod_name", "namespace_name", "capability", "namespace", "pod", "container"})})
	p := b.Build(snapshotOf(box), Selection{Capabilities: mustCompile(t, NewFilters(), "KILL")})
	seen := 0
	walk := p.Walk()
	for i := range p.Families {
		f := &p.Families[i]
		for src, samples := range walk.Samples(f) {
			seen++
			if src.Labels.Pod != "" || src.Labels.Namespace != "" || f.group == groupReported && src.Labels.Sandbox != "a" {
				t.Errorf("%s has labels %v", f.Name, src.Labels.Values())
			}
			if f.metricName == families.Capabilities && (len(samples) != 1 || samples[0].Value != 1 || len(src.Sets[samples[0].Series].Pairs) != 0) {
				t.Errorf("capabilities are %v of %v", samples, src.Sets)
			}
			if f.group == groupCadvisor && len(src.Sets[samples[0].Series].Pairs) != 6 {
				t.Errorf("%s has labels %v", f.Name, src.Sets[samples[0].Series].Pairs)
			}
		}
	}
	if seen < 10 || box.Labels.Pod != "p" {
		t.Errorf("%d sources of families, and the sandbox has pod %q", seen, box.Labels.Pod)
	}
	box.Usage = nil
	again := b.Build(snapshotOf(box), Selection{})
	if p.Sources[0].Labels != again.Sources[0].Labels || p.Sources[0].Schema != again.Sources[0].Schema {
		t.Error("the next page has other labels and another schema, whose texts are made again")
	}
	reported := b.BuildReported(&box, nil)
	if l := reported.Sources[0].Labels; l.Pod != "" {
		t.Errorf("an export has labels %v", l.Values())
	}
}

func TestSums(t *testing.T) {
	for _, c := range []struct{ a, b, want int64 }{
		{1, 2, 3}, {1, -2, -1}, {math.MaxInt64, 0, math.MaxInt64}, {math.MaxInt64, 1, math.MaxInt64}, {math.MaxInt64 - 1, 1, math.MaxInt64},
		{math.MinInt64, -1, math.MinInt64}, {math.MinInt64, math.MaxInt64, -1}, {math.MinInt64 + 1, -1, math.MinInt64},
	} {
		if got, swapped := sum(c.a, c.b), sum(c.b, c.a); got != c.want || swapped != c.want {
			t.Errorf("the sum of %d and %d is %d and %d, want %d", c.a, c.b, got, swapped, c.want)
		}
	}
}

// TestUnitedHistogram: the distribution of two sets of samples is that of all samples together.
func TestUnitedHistogram(t *testing.T) {
	of := func(samples ...int64) *snapshot.Histogram {
		h := &snapshot.Histogram{Counts: make([]uint64, 2)}
		for i, n := range samples {
			if h.Total.Int += n; i == 0 {
				h.Min.Int, h.Max.Int = n, n
			}
			h.Min.Int, h.Max.Int = min(h.Min.Int, n), max(h.Max.Int, n)
			h.Counts[min(1, n/10)]++
		}
		for _, n := range samples {
			off := float64(n) - float64(h.Total.Int)/float64(len(samples))
			h.SSD += off * off
		}
		return h
	}
	check := func(a, b []int64) {
		t.Helper()
		got, want := unitedHistogram(of(a...), of(b...)), of(append(slices.Clone(a), b...)...)
		if math.Abs(got.SSD-want.SSD) > 1e-9*(1+want.SSD) {
			t.Errorf("%v and %v: SSD %v, want %v", a, b, got.SSD, want.SSD)
		}
		if got.SSD = want.SSD; !reflect.DeepEqual(&got, want) {
			t.Errorf("%v and %v: %+v, want %+v", a, b, got, *want)
		}
	}
	check(nil, nil)
	check([]int64{1, 12}, nil)
	check(nil, []int64{3, 4})
	check([]int64{1, 2, 3}, []int64{10, 50})
	check([]int64{40}, []int64{2, 2, 2})
	big := &snapshot.Histogram{Total: snapshot.Number{Int: math.MaxInt64}, Counts: []uint64{math.MaxUint64, 0}}
	if got := unitedHistogram(big, of(1, 12)); !got.Total.IsFloat || got.Counts[0] != math.MaxUint64 || got.Counts[1] != 1 {
		t.Errorf("beyond the numbers there is %+v", got)
	}
}

func TestUnited(t *testing.T) {
	check := func(m schema.Metric, a, b, want int64) {
		t.Helper()
		if got, swapped := united(&m, a, b), united(&m, b, a); got != want || swapped != want {
			t.Errorf("%+v: %d and %d are %d and %d, want %d", m, a, b, got, swapped, want)
		}
	}
	float := snapshot.FloatValue
	check(schema.Metric{}, 1, 3, 4)
	check(schema.Metric{Greatest: true}, 1, 3, 3)
	check(schema.Metric{Float: true}, float(1.5), float(-3), float(-1.5))
	check(schema.Metric{Float: true, Greatest: true}, float(1.5), float(-3), float(1.5)) // as floats, not as bits
}
