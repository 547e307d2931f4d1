package records

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// registered are a counter and a histogram without fields, both with fields, and a gauge.
const registered = `{"metrics":[
	{"name":"/fs/opens","prometheus_name":"fs_opens","description":"","cumulative":true},
	{"name":"/fs/reads","prometheus_name":"fs_reads","description":"","cumulative":true},
	{"name":"/memory","prometheus_name":"memory","description":""},
	{"name":"/start","prometheus_name":"start","description":"","type":1,"distribution_bucket_lower_bounds":[0,10]},
	{"name":"/syscalls","prometheus_name":"syscalls","description":"","type":1,"distribution_bucket_lower_bounds":[0,10],"fields":[{"field_name":"call","allowed_values":["open","read"]}]},
	{"name":"/weirdness","prometheus_name":"weirdness","description":"","cumulative":true,"fields":[{"field_name":"a","allowed_values":["x","y"]},{"field_name":"b","allowed_values":["1","\"\u00e9\u009b"]}]}]}`

func compile(tb testing.TB, registration string) *schema.Schema {
	tb.Helper()
	s, err := schema.Compile([]byte(registration))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// reported returns a source with a value of each metric, the gauge included.
func reported(tb testing.TB) snapshot.Source {
	tb.Helper()
	s := compile(tb, registered)
	s.ShowZeros(schema.Zeros{Plain: true})
	first := func(name string) (metric int32, series uint32) {
		i := s.Find([]byte(name))
		return int32(i), s.Metrics[i].First
	}
	var samples []snapshot.Sample
	add := func(name string, offset uint32, value int64) {
		metric, series := first(name)
		samples = append(samples, snapshot.Sample{Metric: metric, Series: series + offset, Value: value})
	}
	add("fs_opens", 0, 51)
	add("memory", 0, 4096)
	add("start", 0, 0)
	add("syscalls", 1, 1)
	add("weirdness", 0, 2)
	add("weirdness", 3, 1<<62)
	histogram := func(total snapshot.Number, counts ...uint64) snapshot.Histogram {
		return snapshot.Histogram{Total: total, Counts: counts}
	}
	return snapshot.Source{Schema: s, Samples: samples, Histograms: []snapshot.Histogram{
		histogram(snapshot.Number{Int: 1<<53 + 1}, 1, 2, 0), histogram(snapshot.Number{Float: 2.5, IsFloat: true}, 0, 0, 7)}}
}

// manyCounters returns a source with n counters.
func manyCounters(tb testing.TB, n int) snapshot.Source {
	tb.Helper()
	var metrics []string
	var samples []snapshot.Sample
	for i := range n {
		metrics = append(metrics, fmt.Sprintf(`{"name":"/counter/%05d","prometheus_name":"counter_of_something_%05d","description":"","cumulative":true}`, i, i))
		samples = append(samples, snapshot.Sample{Metric: int32(i), Series: uint32(i), Value: int64(i) * 1000})
	}
	return snapshot.Source{Schema: compile(tb, `{"metrics":[`+strings.Join(metrics, ",")+`]}`), Samples: samples}
}

// measured returns the usage of a pod. Of the deleted containers, only one was measured, and one is
// not known otherwise.
func measured() *snapshot.Usage {
	u := &snapshot.Usage{
		Shares: []snapshot.Share{
			share("c1", "c1", 0),
			share("app", "c2", 1250),
			share("init", "c0", 500),
			share("c9", "c9", 62.5),
		},
		Unattributed: milliseconds(187.5),
	}
	u.Set(fact.CPU, milliseconds(2000).Value)
	u.Set(fact.OOMKills, 0)
	u.Interfaces = []fact.Interface{network("eth0", 1000, 0), network("eth1", 1000, 0)}
	return u
}

// measuredSentry returns the usage of a sandbox without a cgroup of its own and without network.
func measuredSentry() *snapshot.Usage {
	u := new(snapshot.Usage)
	u.Set(fact.SentryCPU, milliseconds(250).Value)
	return u
}

// milliseconds returns a time as the host measures it.
func milliseconds(ms float64) fact.Figure { return fact.Of(int64(ms*1e6), true) }

func share(name, id string, ms float64) snapshot.Share {
	return snapshot.Share{ID: id, Name: name, CPU: milliseconds(ms).Value}
}

func network(name string, received, sent int64) fact.Interface {
	return fact.Interface{Name: name, Counters: [fact.InterfaceCounters]int64{fact.ReceiveBytes: received, fact.TransmitBytes: sent}}
}

var created = time.Date(2026, 11, 3, 9, 15, 0, 0, time.FixedZone("", 3600))

// pod returns a sandbox of which everything is known.
func pod(tb testing.TB) *snapshot.Sandbox {
	return &snapshot.Sandbox{
		Identity: &snapshot.Identity{
			Labels:    &snapshot.Labels{Sandbox: "7d2f", Iteration: "5b0c3a", Pod: "web-1", Namespace: "shop"},
			Root:      "/run/containerd/runsc/k8s.io",
			CreatedAt: created,
			Containers: []snapshot.Container{
				{ID: "c1", Pause: true},
				{ID: "c2", Name: "app", Image: "registry.example/app:1"},
			},
			Deleted: []snapshot.Container{
				{ID: "c0", Name: "init", Image: "registry.example/init:1"},
				{ID: "c3", Name: "job", Image: "registry.example/job:1"},
			},
		},
		End: &snapshot.End{Time: created.Add(3250 * time.Millisecond), Lifetime: 3 * time.Second, Outcome: snapshot.Failed, Code: 137,
			Metrics: snapshot.FromFinalLog, Usage: snapshot.FromHost, Network: snapshot.FromSample, MemoryPeak: 31 << 20},
		Reported: reported(tb),
		Usage:    measured(),
	}
}

// example returns the sandbox of docs/records.md.
func example(tb testing.TB) *snapshot.Sandbox {
	tb.Helper()
	s := pod(tb)
	u := &snapshot.Usage{Shares: []snapshot.Share{share("c1", "c1", 0), share("app", "c2", 1250)}, Unattributed: milliseconds(187.5)}
	u.Set(fact.CPU, milliseconds(1437.5).Value)
	u.Set(fact.OOMKills, 0)
	u.Interfaces = []fact.Interface{network("eth0", 18230, 2210)}
	s.Usage = u
	s.End.Code = 3
	s.Deleted = nil
	s.Reported = snapshot.Source{
		Schema: compile(tb, `{"metrics":[
			{"name":"/fs/opens","prometheus_name":"fs_opens","description":"","cumulative":true},
			{"name":"/fs/reads","prometheus_name":"fs_reads","description":"","cumulative":true},
			{"name":"/weirdness","prometheus_name":"weirdness","description":"","cumulative":true,"fields":[{"field_name":"weirdness_type","allowed_values":["partial_result","time_fallback"]}]}]}`),
		Samples: []snapshot.Sample{{Metric: 0, Series: 0, Value: 51}, {Metric: 1, Series: 1, Value: 120}, {Metric: 2, Series: 3, Value: 2}},
	}
	return s
}

// bare returns a sandbox of which nothing but its identity is known.
func bare(end snapshot.End) *snapshot.Sandbox {
	return &snapshot.Sandbox{
		Identity: &snapshot.Identity{Labels: &snapshot.Labels{Sandbox: "b", Iteration: "1"}, Root: "/run/runsc", Containers: []snapshot.Container{{ID: "b"}}},
		End:      &end,
	}
}
