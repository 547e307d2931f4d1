package page

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// created is when the containers of these tests were created.
var created = time.UnixMilli(1_700_000_000_500)

// measured returns a sandbox of containers that was measured: its CPU time is 1.5 s, its memory 100
// bytes, and its interface eth0 has received 7 bytes.
func measured(namespace, pod string, containers ...snapshot.Container) snapshot.Sandbox {
	labels := &snapshot.Labels{Iteration: "i", Namespace: namespace, Pod: pod, Sandbox: containers[0].ID, RuntimeRoot: "/r"}
	var sets []*snapshot.LabelSet
	for i := range containers {
		containers[i].CreatedAt = created
		sets = append(sets, snapshot.NewLabelSet(snapshot.Label{Name: "container", Value: "c"}, snapshot.Label{Name: "container_id", Value: containers[i].ID}))
	}
	eth0 := uint32(len(sets))
	sets = append(sets, snapshot.NewLabelSet(snapshot.Label{Name: "interface", Value: "eth0"}), snapshot.NewLabelSet(snapshot.Label{Name: "reason", Value: "r"}))
	return snapshot.Sandbox{
		Identity: &snapshot.Identity{Labels: labels, CreatedAt: created, Containers: containers},
		Server:   snapshot.Source{Labels: labels, Schema: schema.Server},
		Usage: snapshot.Source{Labels: labels, Schema: schema.Usage, Time: 1_700_000_001_250, Sets: sets, SetsMemo: new(schema.Memo), Samples: []snapshot.Sample{
			{Metric: schema.UsageCPU, Value: snapshot.FloatValue(1.5)},
			{Metric: schema.UsageMemory, Value: 100},
			{Metric: schema.NetworkReceiveBytes, Series: eth0, Value: 7},
			{Metric: schema.UsageOOMKills, Value: 2},
			{Metric: schema.UsageThreads, Value: 21},
			{Metric: schema.UsageAbsent, Series: eth0 + 1, Value: 1},
		}},
	}
}

// cadvisorOn returns the samples of cAdvisor's families on a page, as a page has them.
func cadvisorOn(names UsageNames, sandboxes ...snapshot.Sandbox) (lines []string) {
	p := NewBuilder(Options{Naming: PrometheusNaming, Usage: names}).Build(snapshotOf(sandboxes...), Selection{})
	walk := p.Walk()
	for i := range p.Families {
		f := &p.Families[i]
		if f.group != groupCadvisor {
			continue
		}
		for src, samples := range walk.Samples(f) {
			for _, s := range samples {
				var labels []string
				for _, l := range src.Sets[s.Series].Pairs {
					labels = append(labels, fmt.Sprintf("%s=%q", l.Name, l.Value))
				}
				value := fmt.Sprint(s.Value)
				if src.Metric(s).Float {
					value = fmt.Sprint(s.Float())
				}
				lines = append(lines, strings.TrimPrefix(f.Name, "container_")+"{"+strings.Join(labels, ",")+"} "+value)
			}
		}
	}
	return lines
}

func wantCadvisor(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// of returns the lines of one family.
func of(family string, lines []string) []string {
	return slices.DeleteFunc(lines, func(line string) bool { return !strings.HasPrefix(line, family+"{") })
}

// The rows of a pod with one container.
const (
	podRow   = `container="",id="/k/pod1",image="",name="",namespace="shop",pod="web"`
	pauseRow = `container="",id="/k/pod1/p",image="pause:3",name="p",namespace="shop",pod="web"`
	appRow   = `container="app",id="/k/pod1/a",image="app:1",name="a",namespace="shop",pod="web"`
)

// pod returns a pod with the container that holds its namespaces, and others.
func pod(others ...snapshot.Container) snapshot.Sandbox {
	pause := snapshot.Container{ID: "p", Image: "pause:3", Pause: true, Cgroup: "/k/pod1/p"}
	s := measured("shop", "web", append([]snapshot.Container{pause}, others...)...)
	s.PodCgroup = "/k/pod1"
	return s
}

func app() snapshot.Container {
	return snapshot.Container{ID: "a", Name: "app", Image: "app:1", Cgroup: "/k/pod1/a", CPUQuota: 150_000, CPUPeriod: 100_000, CPUShares: 512, MemoryLimit: 1 << 20}
}

// TestCadvisorPod: a pod has the rows that kubelet has. Its only container has the figures of the
// sandbox.
func TestCadvisorPod(t *testing.T) {
	withCPU := func(row string) string { return strings.Replace(row, `,id=`, `,cpu="total",id=`, 1) }
	withInterface := func(row string) string { return strings.Replace(row, `,name=`, `,interface="eth0",name=`, 1) }
	wantCadvisor(t, "a pod", cadvisorOn(CadvisorNames, pod(app())),
		"cpu_usage_seconds_total{"+withCPU(podRow)+"} 1.5",
		"cpu_usage_seconds_total{"+withCPU(appRow)+"} 1.5",
		"last_seen{"+podRow+"} 1.70000000125e+09",
		"last_seen{"+pauseRow+"} 1.70000000125e+09",
		"last_seen{"+appRow+"} 1.70000000125e+09",
		"memory_usage_bytes{"+podRow+"} 100",
		"memory_usage_bytes{"+appRow+"} 100",
		"memory_working_set_bytes{"+podRow+"} 100",
		"memory_working_set_bytes{"+appRow+"} 100",
		"network_receive_bytes_total{"+withInterface(pauseRow)+"} 7",
		"oom_events_total{"+podRow+"} 2",
		"oom_events_total{"+appRow+"} 2",
		"spec_cpu_period{"+appRow+"} 100000",
		"spec_cpu_quota{"+appRow+"} 150000",
		"spec_cpu_shares{"+appRow+"} 512",
		"spec_memory_limit_bytes{"+appRow+"} 1048576",
		"start_time_seconds{"+podRow+"} 1.7000000005e+09",
		"start_time_seconds{"+pauseRow+"} 1.7000000005e+09",
		"start_time_seconds{"+appRow+"} 1.7000000005e+09")
}

// TestCadvisorRows: which rows have the memory of sandboxes of other forms.
func TestCadvisorRows(t *testing.T) {
	memory := func(what string, s snapshot.Sandbox, rows ...string) {
		t.Helper()
		for i := range rows {
			rows[i] = "memory_usage_bytes{" + rows[i] + "} 100"
		}
		wantCadvisor(t, what, of("memory_usage_bytes", cadvisorOn(BothNames, s)), rows...)
	}
	memory("a pod with one container", pod(app()), podRow, appRow)
	memory("a pod with two containers", pod(app(), snapshot.Container{ID: "b", Name: "log"}), podRow)
	memory("a pod before its containers", pod(), podRow)
	memory("a container of Docker", measured("", "", snapshot.Container{ID: "d", Cgroup: "/docker/d"}),
		`container="",id="/docker/d",image="",name="d",namespace="",pod=""`)
	memory("a container without a cgroup", measured("", "", snapshot.Container{ID: "d"}),
		`container="",id="/d",image="",name="d",namespace="",pod=""`)

	noCgroup := pod(app())
	noCgroup.PodCgroup = ""
	memory("a pod whose cgroup is not known", noCgroup, strings.Replace(podRow, "/k/pod1", "/k/pod1/p", 1), appRow)
	absent := pod(app())
	absent.Usage.Samples = absent.Usage.Samples[2:]
	memory("a sandbox without figures", absent)
	absent.Usage.Schema = nil
	wantCadvisor(t, "a sandbox that was not measured", cadvisorOn(BothNames, absent))
}

// TestCadvisorOfContainers: which rows have figures of containers, if there are any. The metrics
// stand for any metric of sandboxes and of containers.
func TestCadvisorOfContainers(t *testing.T) {
	check := func(what string, s snapshot.Sandbox, o origin, want ...string) {
		t.Helper()
		s.Usage.Samples = []snapshot.Sample{
			{Metric: schema.ContainerStart, Series: 0, Value: 10},
			{Metric: schema.ContainerStart, Series: uint32(len(s.Containers)) - 1, Value: 20},
			{Metric: schema.ContainerStart, Series: uint32(len(s.Usage.Sets)) - 1, Value: 30}, // of none of them
			{Metric: schema.UsageMemory, Value: 100},
		}
		if len(s.Containers) == 1 {
			s.Usage.Samples = s.Usage.Samples[1:]
		}
		var got []string
		rows := cadvisorRowsOf(&s)
		rows.addMeasured(func(set int, value int64) { got = append(got, fmt.Sprint(rows.sets[set].Pairs[3].Value, " ", value)) }, &o, &s.Usage, false)
		wantCadvisor(t, what, got, want...)
	}
	both := origin{sandbox: usage(schema.UsageMemory), container: usage(schema.ContainerStart)}
	containers := origin{container: usage(schema.ContainerStart)}
	split := func(value string) snapshot.Sandbox {
		s := pod(app(), snapshot.Container{ID: "b"})
		for i, set := range s.Usage.Sets[:3] {
			s.Usage.Sets[i] = snapshot.NewLabelSet(append(set.Pairs, snapshot.Label{Name: "split", Value: value})...)
		}
		return s
	}
	check("a pod whose containers have figures of their own", split("none"), both, " 100", "p 10", "b 20")
	check("a pod whose figure is divided equally", split("equal"), both, " 100")
	check("a pod with two containers", pod(app(), snapshot.Container{ID: "b"}), both, " 100", "p 10", "b 20")
	check("a pod with one container", pod(app()), both, " 100", "a 100")
	check("a container of Docker", measured("", "", snapshot.Container{ID: "d"}), both, "d 100")
	check("a pod, without figures of sandboxes", pod(app()), containers, "p 10", "a 20")
	check("a container of Docker, without figures of sandboxes", measured("", "", snapshot.Container{ID: "d"}), containers, "d 20")
}

// TestCadvisorTwins: no two series are equal, whatever state files tell.
func TestCadvisorTwins(t *testing.T) {
	check := func(what string, sandboxes int, all ...snapshot.Sandbox) {
		t.Helper()
		lines := of("last_seen", cadvisorOn(CadvisorNames, all...))
		names := make(map[string]bool)
		for _, line := range lines {
			_, rest, _ := strings.Cut(line, `,name="`)
			name, _, _ := strings.Cut(rest, `"`)
			names[name] = true
		}
		delete(names, "") // of pods
		if slices.Sort(lines); len(slices.Compact(slices.Clone(lines))) != len(lines) || len(names) != sandboxes {
			t.Errorf("%s: %d sandboxes, want %d:\n%s", what, len(names), sandboxes, strings.Join(lines, "\n"))
		}
	}
	docker := func(id string) snapshot.Sandbox { return measured("", "", snapshot.Container{ID: id, Cgroup: "/d"}) }
	check("two containers with one cgroup", 2, docker("a"), docker("b"))
	check("one ID in two roots", 1, docker("a"), docker("a"))
	other := func(podCgroup string) snapshot.Sandbox {
		s := measured("shop", "web", snapshot.Container{ID: "q", Pause: true})
		s.PodCgroup = podCgroup
		return s
	}
	check("two pods with one name", 2, pod(), other("/k/pod2"))
	check("two sandboxes of one pod", 1, pod(), other("/k/pod1"))
	unreadable, same := measured("\xff", "p", snapshot.Container{ID: "x", Pause: true}), measured("\xfe", "p", snapshot.Container{ID: "y", Pause: true})
	unreadable.PodCgroup, same.PodCgroup = "/p", "/p"
	check("names that look alike on a page", 1, unreadable, same)
}

// TestCadvisorNames: --usage selects the families, and a registration cannot take their names.
func TestCadvisorNames(t *testing.T) {
	check := func(names UsageNames, own, cadvisor int) {
		t.Helper()
		p := NewBuilder(Options{Naming: PrometheusNaming, Usage: names}).Build(snapshotOf(pod(app())), Selection{})
		counts := make(map[int]int)
		for i := range p.Families {
			counts[p.Families[i].group]++
		}
		if counts[groupUsage] != own || counts[groupCadvisor] != cadvisor {
			t.Errorf("%d: %v, want %d and %d", names, counts, own, cadvisor)
		}
	}
	check(OwnNames, len(schema.Usage.Metrics), 0)
	check(CadvisorNames, 0, len(schema.Cadvisor.Metrics))
	check(BothNames, len(schema.Usage.Metrics), len(schema.Cadvisor.Metrics))

	claims := sandbox("b", register(t, "container_last_seen c"))
	p := NewBuilder(Options{Naming: RunscNaming, Usage: CadvisorNames}).Build(snapshotOf(claims, pod(app())), Selection{})
	if got := show(p); !strings.Contains(got, "container_last_seen gauge: ") || strings.Contains(got, "container_last_seen counter") || !strings.Contains(got, "meta_num_series_left_out gauge: 1") {
		t.Errorf("a registered name of cAdvisor:\n%s", got)
	}
}

// TestCadvisorRowsAreKept: rows are made once for label sets that stay.
func TestCadvisorRowsAreKept(t *testing.T) {
	s := pod(app())
	before := cadvisorRowsOf(&s)
	if cadvisorRowsOf(&s) != before {
		t.Error("they are made again")
	}
	s.Usage.SetsMemo = new(schema.Memo)
	if cadvisorRowsOf(&s) == before {
		t.Error("they stay for other label sets")
	}
}

// BenchmarkBuild builds the page of 1,000 measured pods.
func BenchmarkBuild(b *testing.B) {
	var all []snapshot.Sandbox
	for i := range 1000 {
		id := fmt.Sprint(i)
		s := measured("shop", "web-"+id, snapshot.Container{ID: id, Pause: true, Cgroup: "/k/" + id}, snapshot.Container{ID: id + "a", Name: "app", Image: "app:1", Cgroup: "/k/" + id + "a"})
		all = append(all, s)
	}
	snap := snapshotOf(all...)
	for name, names := range map[string]UsageNames{"own": OwnNames, "cadvisor": CadvisorNames, "both": BothNames} {
		b.Run(name, func(b *testing.B) {
			builder := NewBuilder(Options{Naming: PrometheusNaming, Usage: names})
			b.ReportAllocs()
			for b.Loop() {
				builder.Build(snap, Selection{})
			}
		})
	}
}
