package families

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// measuredAs returns a sandbox of containers, the first one of which is its root container. The host
// measured 1.5 s of CPU time, 100 bytes of memory, and an interface with a value of its own for each
// counter.
func measuredAs(namespace, pod string, containers ...snapshot.Container) snapshot.Sandbox {
	created := time.UnixMilli(1_700_000_000_500)
	for i := range containers {
		containers[i].CreatedAt = created
	}
	labels := &snapshot.Labels{Iteration: "i", Namespace: namespace, Pod: pod, Sandbox: containers[0].ID, RuntimeRoot: "/r"}
	s := snapshot.Sandbox{
		Identity: &snapshot.Identity{Labels: labels, CreatedAt: created, Containers: containers},
		Phase:    snapshot.Running,
		Usage:    &snapshot.Usage{Unknown: []fact.Reason{"r"}},
	}
	s.Usage.Time = time.UnixMilli(1_700_000_001_250)
	for q, value := range map[fact.Quantity]int64{fact.CPU: 1.5e9, fact.Memory: 100, fact.OOMKills: 2, fact.Threads: 21} {
		s.Usage.Set(q, value)
	}
	s.Usage.Interfaces = []fact.Interface{{Name: "eth0", Counters: [fact.InterfaceCounters]int64{
		fact.ReceiveBytes: 7, fact.ReceiveErrors: 8, fact.ReceiveDropped: 9, fact.ReceivePackets: 10,
		fact.TransmitBytes: 11, fact.TransmitErrors: 12, fact.TransmitDropped: 13, fact.TransmitPackets: 14,
	}}}
	return s
}

// podOf returns a pod with the container that holds its namespaces, and others.
func podOf(others ...snapshot.Container) snapshot.Sandbox {
	pause := snapshot.Container{ID: "p", Image: "pause:3", Pause: true, Cgroup: "/k/pod1/p", CPUShares: 2}
	s := measuredAs("shop", "web", append([]snapshot.Container{pause}, others...)...)
	s.PodCgroup = "/k/pod1"
	return s
}

func appContainer() snapshot.Container {
	return snapshot.Container{ID: "a", Name: "app", Image: "app:1", Cgroup: "/k/pod1/a", CPUQuota: 150_000, CPUPeriod: 100_000, CPUShares: 512, MemoryLimit: 1 << 20}
}

func docker(id string) snapshot.Sandbox {
	return measuredAs("", "", snapshot.Container{ID: id, Cgroup: "/docker/" + id})
}

// samplesOf returns the samples of sandboxes with the names of cAdvisor.
func samplesOf(sandboxes ...snapshot.Sandbox) []*SandboxSamples {
	return New(Options{Usage: CadvisorNames}).Of(&snapshot.Snapshot{Sandboxes: sandboxes}).Sandboxes
}

// cadvisorLines returns cAdvisor's samples of a sandbox as on a page, without the beginning container_.
func cadvisorLines(s snapshot.Sandbox) (lines []string) {
	source := &samplesOf(s)[0].Cadvisor
	for _, s := range source.Samples {
		var labels []string
		for _, l := range source.Sets[s.Series].Pairs {
			labels = append(labels, fmt.Sprintf("%s=%q", l.Name, l.Value))
		}
		m, value := source.Metric(s), fmt.Sprint(s.Value)
		if m.Float {
			value = fmt.Sprint(s.Float())
		}
		lines = append(lines, strings.TrimPrefix(m.Name, "container_")+"{"+strings.Join(labels, ",")+"} "+value)
	}
	return lines
}

// cadvisorFamily returns the lines of one family.
func cadvisorFamily(family string, s snapshot.Sandbox) []string {
	return slices.DeleteFunc(cadvisorLines(s), func(line string) bool { return !strings.HasPrefix(line, family+"{") })
}

func wantLines(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The rows of a pod with one container.
const (
	podRow   = `container="",id="/k/pod1",image="",name="",namespace="shop",pod="web"`
	pauseRow = `container="",id="/k/pod1/p",image="pause:3",name="p",namespace="shop",pod="web"`
	appRow   = `container="app",id="/k/pod1/a",image="app:1",name="a",namespace="shop",pod="web"`
)

// TestCadvisorPod: a pod has the rows that kubelet has. Its only container has the figures of the
// sandbox.
func TestCadvisorPod(t *testing.T) {
	withCPU := func(row string) string { return strings.Replace(row, `,id=`, `,cpu="total",id=`, 1) }
	network := strings.Replace(pauseRow, `,name=`, `,interface="eth0",name=`, 1)
	wantLines(t, "a pod", cadvisorLines(podOf(appContainer())),
		"cpu_usage_seconds_total{"+withCPU(podRow)+"} 1.5",
		"cpu_usage_seconds_total{"+withCPU(appRow)+"} 1.5",
		"last_seen{"+podRow+"} 1.70000000125e+09",
		"last_seen{"+pauseRow+"} 1.70000000125e+09",
		"last_seen{"+appRow+"} 1.70000000125e+09",
		"memory_usage_bytes{"+podRow+"} 100",
		"memory_usage_bytes{"+appRow+"} 100",
		"memory_working_set_bytes{"+podRow+"} 100",
		"memory_working_set_bytes{"+appRow+"} 100",
		"network_receive_bytes_total{"+network+"} 7",
		"network_receive_errors_total{"+network+"} 8",
		"network_receive_packets_dropped_total{"+network+"} 9",
		"network_receive_packets_total{"+network+"} 10",
		"network_transmit_bytes_total{"+network+"} 11",
		"network_transmit_errors_total{"+network+"} 12",
		"network_transmit_packets_dropped_total{"+network+"} 13",
		"network_transmit_packets_total{"+network+"} 14",
		"oom_events_total{"+podRow+"} 2",
		"oom_events_total{"+appRow+"} 2",
		"spec_cpu_period{"+appRow+"} 100000",
		"spec_cpu_quota{"+appRow+"} 150000",
		"spec_cpu_shares{"+pauseRow+"} 2",
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
		wantLines(t, what, cadvisorFamily("memory_usage_bytes", s), rows...)
	}
	memory("a pod with one container", podOf(appContainer()), podRow, appRow)
	memory("a pod with two containers", podOf(appContainer(), snapshot.Container{ID: "b", Name: "log"}), podRow)
	memory("a pod before its containers", podOf(), podRow)
	memory("a container of Docker", docker("d"),
		`container="",id="/docker/d",image="",name="d",namespace="",pod=""`)
	memory("a container without a cgroup", measuredAs("", "", snapshot.Container{ID: "d"}),
		`container="",id="/d",image="",name="d",namespace="",pod=""`)

	noCgroup := podOf(appContainer())
	noCgroup.PodCgroup = ""
	memory("a pod whose cgroup is not known", noCgroup, strings.Replace(podRow, "/k/pod1", "/k/pod1/p", 1), appRow)
	absent := podOf(appContainer())
	absent.Usage.Clear()
	memory("a sandbox without figures", absent)
	absent.Usage = nil
	wantLines(t, "a sandbox that was not measured", cadvisorLines(absent))
}

// TestCadvisorOfContainers: which rows have figures of containers, if there are any.
func TestCadvisorOfContainers(t *testing.T) {
	check := func(what, family string, s snapshot.Sandbox, want ...string) {
		t.Helper()
		first, last := s.Containers[0].ID, s.Containers[len(s.Containers)-1].ID
		s.Usage.Shares = []snapshot.Share{{ID: first, CPU: 10e9}, {ID: last, CPU: 20e9}, {ID: "deleted", CPU: 30e9}}
		s.Usage.Memory = make([]fact.Figure, len(s.Containers)) // absent
		s.Usage.Memory[0], s.Usage.Memory[len(s.Containers)-1] = fact.Of[int64](10, true), fact.Of[int64](20, true)
		s.Usage.Processes = s.Usage.Memory
		s.Usage.Set(fact.CPU, 100e9)
		var got []string
		for _, line := range cadvisorFamily(family, s) {
			_, name, _ := strings.Cut(line, `,name="`)
			name, _, _ = strings.Cut(name, `"`)
			got = append(got, name+line[strings.LastIndexByte(line, ' '):])
		}
		wantLines(t, what+": "+family, got, want...)
	}
	two := func() snapshot.Sandbox { return podOf(appContainer(), snapshot.Container{ID: "b"}) }
	for _, family := range []string{"cpu_usage_seconds_total", "memory_usage_bytes", "memory_working_set_bytes"} {
		check("a pod with two containers", family, two(), " 100", "p 10", "b 20")
		check("a pod with one container", family, podOf(appContainer()), " 100", "a 100")
		check("a container of Docker", family, docker("d"), "d 100")
	}
	equal := two()
	equal.Usage.EqualMemory = true
	check("a pod whose memory is divided equally", "memory_usage_bytes", equal, " 100")
	check("a pod whose memory is divided equally", "memory_working_set_bytes", equal, " 100")
	check("a pod whose memory is divided equally", "cpu_usage_seconds_total", equal, " 100", "p 10", "b 20")

	// Sandboxes as a whole have no such figure.
	check("a pod with two containers", "processes", two(), "p 10", "b 20")
	check("a pod with one container", "processes", podOf(appContainer()), "p 10", "a 20")
	check("a container of Docker", "processes", docker("d"), "d 20")
}
