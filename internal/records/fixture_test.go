package records

import (
	"testing"
	"time"

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

// A usage is the source of what the host measured.
type usage struct{ snapshot.Source }

func (u *usage) add(metric int, value int64, labels ...snapshot.Label) {
	u.Samples = append(u.Samples, snapshot.Sample{Metric: int32(metric), Series: uint32(len(u.Sets)), Value: value})
	u.Sets = append(u.Sets, snapshot.NewLabelSet(labels...))
}

func (u *usage) cpu(name, id string, value float64) {
	u.add(schema.ContainerCPU, snapshot.FloatValue(value), snapshot.Label{Name: "container", Value: name}, snapshot.Label{Name: "container_id", Value: id})
}

// measured returns the usage of a pod. Of the deleted containers, only one was measured, and one is
// not known otherwise.
func measured() snapshot.Source {
	u := usage{snapshot.Source{Schema: schema.Usage}}
	u.cpu("c1", "c1", 0)
	u.cpu("app", "c2", 1.25)
	u.cpu("init", "c0", 0.5)
	u.cpu("c9", "c9", 0.0625)
	u.cpu("", "", 0.1875)
	u.add(schema.UsageCPU, snapshot.FloatValue(2))
	for _, name := range []string{"eth0", "eth1"} {
		u.add(schema.NetworkReceiveBytes, 1000, snapshot.Label{Name: "interface", Value: name})
	}
	u.add(schema.NetworkTransmitBytes, 0, snapshot.Label{Name: "interface", Value: "eth0"})
	u.add(schema.UsageOOMKills, 0)
	return u.Source
}

// measuredSentry returns the usage of a sandbox without a cgroup of its own and without network.
func measuredSentry() snapshot.Source {
	u := usage{snapshot.Source{Schema: schema.Usage}}
	u.add(schema.SentryCPU, snapshot.FloatValue(0.25))
	return u.Source
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
	u := usage{snapshot.Source{Schema: schema.Usage}}
	u.cpu("c1", "c1", 0)
	u.cpu("app", "c2", 1.25)
	u.cpu("", "", 0.1875)
	u.add(schema.UsageCPU, snapshot.FloatValue(1.4375))
	u.add(schema.NetworkReceiveBytes, 18230, snapshot.Label{Name: "interface", Value: "eth0"})
	u.add(schema.NetworkTransmitBytes, 2210, snapshot.Label{Name: "interface", Value: "eth0"})
	u.add(schema.UsageOOMKills, 0)
	s.Usage = u.Source
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
