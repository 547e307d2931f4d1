package page

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// measured returns a sandbox of containers of which the host measured CPU time, memory, OOM kills and
// threads. It reports no metrics.
func measured(root, namespace, pod string, containers ...snapshot.Container) snapshot.Sandbox {
	s := sandbox(containers[0].ID, nil)
	s.Labels.RuntimeRoot, s.Labels.Namespace, s.Labels.Pod = root, namespace, pod
	s.Containers = containers
	s.Usage = &snapshot.Usage{Unknown: []fact.Reason{"r"}}
	for _, q := range []fact.Quantity{fact.CPU, fact.Memory, fact.OOMKills, fact.Threads} {
		s.Usage.Set(q, 1)
	}
	s.Usage.Interfaces = []fact.Interface{{Name: "eth0"}}
	return s
}

// TestCadvisorTwins: no two series are equal, whatever state files tell. Of two sandboxes with equal
// series, the first one is on the page.
func TestCadvisorTwins(t *testing.T) {
	both := families.Options{Usage: families.BothNames}
	check := func(what, own, cadvisor string, all ...snapshot.Sandbox) {
		t.Helper()
		p := NewBuilder(Options{Naming: PrometheusNaming, Families: both}).Build(snapshotOf(all...), Selection{})
		var gotOwn, got []string // sandboxes, and cgroups
		walk := p.Walk()
		for i := range p.Families {
			f := &p.Families[i]
			for src, samples := range walk.Samples(f) {
				switch f.Name {
				case "sandmeter_sandbox_threads":
					gotOwn = append(gotOwn, src.Labels.RuntimeRoot+":"+src.Labels.Sandbox)
				case "container_last_seen":
					for _, s := range samples {
						got = append(got, src.Sets[s.Series].Pairs[1].Value)
					}
				}
			}
		}
		if g := strings.Join(gotOwn, " "); g != own {
			t.Errorf("%s: usage of %s, want %s", what, g, own)
		}
		if g := strings.Join(got, " "); g != cadvisor {
			t.Errorf("%s: cAdvisor's rows of %s, want %s", what, g, cadvisor)
		}
	}
	docker := func(root, id, cgroup string) snapshot.Sandbox {
		return measured(root, "", "", snapshot.Container{ID: id, Cgroup: cgroup})
	}
	inPod := func(id, podCgroup string) snapshot.Sandbox {
		s := measured("/r", "shop", "web", snapshot.Container{ID: id, Pause: true})
		s.PodCgroup = podCgroup
		return s
	}
	check("two containers", "/r:a /r:b", "/d /d", docker("/r", "a", "/d"), docker("/r", "b", "/d"))
	check("one ID in two roots", "/r:a /s:a /r:b", "/d /e", docker("/r", "a", "/d"), docker("/s", "a", "/d"), docker("/r", "b", "/e"))
	check("two pods with one name", "/r:p /r:q", "/pod1 /p /pod2 /q", inPod("p", "/pod1"), inPod("q", "/pod2"))
	alike := func(id, namespace string) snapshot.Sandbox {
		return measured("/r", namespace, "web", snapshot.Container{ID: id, Pause: true, Cgroup: "/c"})
	}
	check("namespaces that look alike on a page", "/r:p /r:q", "/c /c", alike("p", "\xff"), alike("q", "\xfe"))
	check("two sandboxes of one pod", "/r:p /r:q", "/pod1 /p", inPod("p", "/pod1"), inPod("q", "/pod1"))
}

// TestCadvisorNames: --usage selects the families.
func TestCadvisorNames(t *testing.T) {
	pod := measured("/r", "shop", "web", snapshot.Container{ID: "p", Pause: true}, snapshot.Container{ID: "a", Name: "app"})
	check := func(names families.UsageNames, own, cadvisor int) {
		t.Helper()
		b := NewBuilder(Options{Naming: PrometheusNaming, Families: families.Options{Usage: names}})
		p := b.Build(snapshotOf(pod), Selection{})
		counts := make(map[int]int)
		for i := range p.Families {
			counts[p.Families[i].group]++
		}
		if counts[groupUsage] != own || counts[groupCadvisor] != cadvisor {
			t.Errorf("%d: %v, want %d and %d", names, counts, own, cadvisor)
		}
		text := show(p)
		if strings.Contains(text, "sandmeter_sandbox_threads") != (own > 0) || strings.Contains(text, "container_last_seen") != (cadvisor > 0) {
			t.Errorf("%d: the page has\n%s", names, text)
		}
	}
	check(families.OwnNames, len(families.Usage.Metrics), 0)
	check(families.CadvisorNames, 0, len(families.Cadvisor.Metrics))
	check(families.BothNames, len(families.Usage.Metrics), len(families.Cadvisor.Metrics))
}

// BenchmarkBuild builds the page of 1,000 measured pods, each time of a new snapshot with the same
// label sets.
func BenchmarkBuild(b *testing.B) {
	var all []snapshot.Sandbox
	for i := range 1000 {
		id := fmt.Sprint(i)
		s := measured("/r", "shop", "web-"+id, snapshot.Container{ID: id, Pause: true, Cgroup: "/k/" + id},
			snapshot.Container{ID: id + "a", Name: "app", Image: "app:1", Cgroup: "/k/" + id + "a"})
		all = append(all, s)
	}
	for name, names := range map[string]families.UsageNames{"own": families.OwnNames, "cadvisor": families.CadvisorNames, "both": families.BothNames} {
		b.Run(name, func(b *testing.B) {
			builder := NewBuilder(Options{Naming: PrometheusNaming, Families: families.Options{Usage: names}})
			for i := range all {
				all[i].Derived = new(atomic.Value)
			}
			snap := snapshotOf(all...)
			b.ReportAllocs()
			for b.Loop() {
				snap.Derived = new(schema.Memo)
				builder.Build(snap, Selection{})
			}
		})
	}
}
