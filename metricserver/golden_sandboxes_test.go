package metricserver

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

// serveOptions sets the options for the node with all sandboxes.
func serveOptions(n *goldenNode, o *Options) {
	o.Roots = []string{n.kubernetes, n.docker, n.dir + "/run/missing"}
	o.Usage = []string{UsageOwn, UsageCadvisor, UsageDetail}
	o.TotalsBy, o.TotalsMetrics = TotalsByNamespace, []string{"fs_opens", "fs_read_wait"}
	o.ZeroCounters = []string{ZeroCountersAll, "suspicious_operations"}
	o.FinalMetricsLog, o.FinalRecords = n.finalLog("%ID%"), n.dir+"/records"
	o.EnableRegistering = true
}

// populate starts all sandboxes, makes some of them work, and ends others. It scrapes between these steps.
func (n *goldenNode) populate() {
	n.startOlder()
	n.text()
	n.startPods()
	n.startContainers()
	n.startStates()
	n.startEnding()
	n.startFailing()
	n.startUnmeasured()
	n.must(os.WriteFile(n.kubernetes+"/broken_sandbox:broken.state", []byte("{"), 0o644))
	n.text()
	n.work()
	n.text()
	n.end()
	n.fail()
	n.settle(
		`sandmeter_final_records_written_total 12`,
		`sandmeter_num_state_files_unreadable 1`,
	)
}

// startOlder starts a sandbox that is older than the server. Totals count only its growth.
func (n *goldenNode) startOlder() {
	n.start(n.kubernetes, simulate.Spec{ID: "older", Pod: "batch-0", Namespace: "jobs"}, fullUse("/older"))
}

const podUID = "0f0e0d0c-1a2b-4c3d-8e9f-a0b1c2d3e4f5"

// startPods starts three pods. One has limits, images, and containers that mount cgroups; one has two
// containers without these mounts; and one has a single container.
func (n *goldenNode) startPods() {
	const slice = "/kubepods.slice/kubepods-pod" + podUID + ".slice"
	linux := func(id, resources string) []string {
		return []string{`"linux":{`, `"linux":{"resources":{` + resources + `},"cgroupsPath":"` + slice + "/" + id + `",`, `"cgroupsPath":"/` + id + `",`, ``}
	}
	mounted := []string{`"mounts":[`, `"mounts":[{"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup"},`}
	web := n.start(n.kubernetes, simulate.Spec{
		ID: "web", Pod: "web-7d8b49557c-abcde", Namespace: "shop",
		Root: simulate.Container{Annotations: map[string]string{"io.kubernetes.cri.sandbox-uid": podUID, "io.kubernetes.cri.podsandbox.image-name": "pause:3.9"}},
		More: []simulate.Container{
			{ID: "web-app", Annotations: named("app", "example.com/web:1")},
			{ID: "web-sidecar", Status: "stopped", Annotations: named("sidecar", "example.com/sidecar:2")},
		},
		EditState: replacing(map[string][]string{
			"web":         linux("web", `"cpu":{"shares":2}`),
			"web-app":     append(linux("web-app", `"cpu":{"shares":512,"quota":50000,"period":100000},"memory":{"limit":209715200}`), mounted...),
			"web-sidecar": append(linux("web-sidecar", `"memory":{"limit":67108864}`), mounted...),
		}),
	}, fullUse(slice))
	web.Report(simulate.Use{
		CPU:        map[string]time.Duration{"web": 0, "web-app": 900 * time.Millisecond, "web-sidecar": 300 * time.Millisecond},
		Memory:     map[string]int64{"web": 0, "web-app": 64 << 10, "web-sidecar": 32 << 10},
		Processes:  map[string]int64{"web": 1, "web-app": 5, "web-sidecar": 2},
		Interfaces: []simulate.Interface{{Name: "eth0", TxBytes: 2005}, {Name: "eth1", TxBytes: 15}},
	})
	database := n.start(n.kubernetes, simulate.Spec{
		ID: "db", Pod: "db-0", Namespace: "shop",
		More: []simulate.Container{
			{ID: "db-main", Annotations: named("main", "")},
			{ID: "db-backup", Annotations: named("backup", "")},
		},
	})
	database.Report(simulate.Use{
		CPU:       map[string]time.Duration{"db": 0, "db-main": 100 * time.Millisecond, "db-backup": 0},
		Memory:    map[string]int64{"db": 0, "db-main": 4 << 10, "db-backup": 4 << 10},
		Processes: map[string]int64{"db": 1, "db-main": 3, "db-backup": 1},
	})
	n.start(n.kubernetes, simulate.Spec{
		ID: "job", Pod: "job-x", Namespace: "jobs",
		More: []simulate.Container{{ID: "job-main", Annotations: named("main", "")}},
	})
}

// named returns the annotations of a pod's container.
func named(container, image string) map[string]string {
	return map[string]string{"io.kubernetes.cri.container-name": container, "io.kubernetes.cri.image-name": image}
}

// startContainers starts sandboxes without pods, and sandboxes with unusual metrics and labels.
func (n *goldenNode) startContainers() {
	all := simulate.RealRegistration()
	n.start(n.docker, simulate.Spec{ID: "all-metrics", Registration: all, Points: allPoints(all)})
	n.start(n.docker, simulate.Spec{
		ID:        "docker",
		EditState: replacing(map[string][]string{"docker": {`"linux":{`, `"linux":{"resources":{"cpu":{"quota":150000},"memory":{"limit":134217728}},`}}),
	}, fullUse("/docker")).Report(dockerUse(time.Second))
	n.start(n.kubernetes, simulate.Spec{ID: "twin"})
	n.start(n.docker, simulate.Spec{ID: "twin"})

	histogram := newRegistration()
	histogram.Metrics = append(histogram.Metrics, simulate.Metric{
		Name: "/fs/latency", PrometheusName: "fs_latency", Description: "Time that file operations take, in nanoseconds.",
		Cumulative: true, Type: simulate.Distribution, Units: 1, Buckets: []int64{1e6, 1e7, 1e8},
	})
	n.start(n.docker, simulate.Spec{ID: "histogram", Registration: histogram, Points: append(points(51), simulate.Point{
		Metric: "fs_latency", Hist: &simulate.Histogram{Total: 111_000_000, Min: 1000, Max: 90_000_000, SSD: 2.5, Counts: []uint64{1, 2, 3, 4}},
	})})

	conflict := newRegistration()
	for i := range conflict.Metrics {
		if m := &conflict.Metrics[i]; m.PrometheusName == "fs_opens" {
			m.Cumulative = false
		}
	}
	n.start(n.docker, simulate.Spec{ID: "conflict", Registration: conflict})

	n.start(n.kubernetes, simulate.Spec{
		ID: "hostile", Pod: "\"} 1\nrunsc_fs_opens{sandbox=\"other\"} 7\n\\\tÜ INVALID", Namespace: "jobs",
		Metadata: map[string]string{"platform": "\"\n\\", "version": "INVALID", "sandbox": "other"},
		EditState: func(_ string, state []byte) []byte {
			return []byte(strings.ReplaceAll(string(state), "INVALID", "\xff"))
		},
	})
}

// startStates starts sandboxes that are created, paused, checkpointed, and restored, and one that borrows a
// registration.
func (n *goldenNode) startStates() {
	n.start(n.kubernetes, simulate.Spec{ID: "created", PID: -1, NoSocket: true, Root: simulate.Container{Status: "created"}, Pod: "new", Namespace: "jobs"})
	n.start(n.kubernetes, simulate.Spec{ID: "paused", Root: simulate.Container{Status: "paused"}})
	n.start(n.kubernetes, simulate.Spec{ID: "saved", Checkpointed: true})
	n.start(n.kubernetes, simulate.Spec{
		ID: "restored", Restored: true, CPUTimeSaved: 1500 * time.Millisecond, WallTimeSaved: 2500 * time.Millisecond,
		SavedAtRestore: simulate.Savings{CPUTimeSaved: 1500 * time.Millisecond, WallTimeSaved: 2500 * time.Millisecond},
	}).Report(simulate.Use{CPU: map[string]time.Duration{"restored": time.Hour}})
	n.start(n.kubernetes, simulate.Spec{ID: "borrower", Uninstrumented: true})
}

// startEnding starts sandboxes that will end.
func (n *goldenNode) startEnding() {
	for _, id := range []string{"exit-0", "exit-3", "exit-137", "kill-9", "kill-15", "oom", "checkpointed", "vanished", "unregistered"} {
		n.start(n.kubernetes, simulate.Spec{ID: "end-" + id})
	}
	n.start(n.kubernetes, simulate.Spec{ID: "end-log", Pod: "job-y", Namespace: "jobs", FinalLog: n.finalLog("end-log")})
	n.start(n.kubernetes, simulate.Spec{ID: "end-log-refused", FinalLog: n.finalLog("end-log-refused"),
		EditFinalLog: func(log []byte) []byte { return log[:len(log)/2] }})
	n.start(n.kubernetes, simulate.Spec{ID: "end-unknown"})
	n.exit("end-unknown", 3)
	n.sandboxes["end-unknown"].Stop() // reap it before the server finds it
}

// startFailing starts sandboxes whose metrics are unavailable.
func (n *goldenNode) startFailing() {
	n.start(n.kubernetes, simulate.Spec{ID: "fail-closed", Behavior: simulate.HangUp(0.5)})
	n.start(n.kubernetes, simulate.Spec{ID: "fail-reply", Behavior: simulate.Say(`{"success":false,"err":"no","result":null}`)})
	n.start(n.kubernetes, simulate.Spec{ID: "fail-texts", Pod: strings.Repeat("p", 254)})
	n.start(n.kubernetes, simulate.Spec{ID: "fail-too-long", Behavior: simulate.Flood("", " ", 0, "")})
	n.start(n.kubernetes, simulate.Spec{ID: "fail-unreachable"})
	n.start(n.kubernetes, simulate.Spec{ID: "fail-wrong-peer", PID: noPID})

	refused := newRegistration()
	refused.Metrics[0].PrometheusName = "Capital"
	n.start(n.kubernetes, simulate.Spec{ID: "fail-registration", Registration: refused, Points: []simulate.Point{}})

	other := newRegistration()
	other.Metrics = append(other.Metrics, simulate.Metric{Name: "/fs/closes", PrometheusName: "fs_closes", Cumulative: true})
	n.start(n.kubernetes, simulate.Spec{ID: "fail-mismatch", Uninstrumented: true, Registration: other,
		Points: append(points(51), simulate.Point{Metric: "fs_closes", Int: 1})})

	// It runs another program than the other sandboxes, so there is no registration to borrow.
	n.start(n.kubernetes, simulate.Spec{ID: "fail-uninstrumented", Uninstrumented: true, PID: os.Getpid()})
}

// noPID is greater than any process ID.
const noPID = 1<<22 + 1

// startUnmeasured starts sandboxes with absent figures.
func (n *goldenNode) startUnmeasured() {
	session := hostUse{network: "net:[4026532256]"}
	n.start(n.docker, simulate.Spec{ID: "use-of-session"}, session)
	n.start(n.docker, simulate.Spec{ID: "use-of-host-network"}, hostUse{network: hostNetwork})
	shared := modestUse("/use-shared")
	shared.members = "1\n"
	n.host.write("proc/1/stat", "1 (init) S 0 0 0 0 -1 4194560 36563 19315876 0 730 77 448 38075 9069 10 -10 13 0 24 47730688 4031\n")
	n.start(n.docker, simulate.Spec{ID: "use-shared"}, shared)
	crowded := modestUse("/use-too-large")
	crowded.members = strings.Repeat("1\n", 5000)
	n.start(n.docker, simulate.Spec{ID: "use-too-large"}, crowded)
	n.start(n.docker, simulate.Spec{ID: "use-unreachable"}, useV1("/use-unreachable")) // cgroup v1 is not mounted
	n.start(n.docker, simulate.Spec{ID: "use-refused", Behavior: simulate.EditEvent(func(string) string { return "[]" })})
	n.start(n.docker, simulate.Spec{ID: "use-hang-up", Behavior: simulate.On(simulate.MethodEvent, simulate.HangUp(0.5))})
	part := modestUse("/use-without-memory")
	delete(part.files, "memory.current")
	delete(part.files, "memory.peak")
	delete(part.files, "memory.events")
	n.start(n.docker, simulate.Spec{ID: "use-without-memory"}, part)
}

// work makes counters grow. Claims of CPU time grow by at most 20 ms, the least that the server allows
// between two scrapes.
func (n *goldenNode) work() {
	for _, id := range []string{"older", "web", "docker"} {
		n.must(n.sandboxes[id].Add("fs_opens", nil, 7))
		n.host.send(n.sandboxes[id].PID(), "  eth0: 1101 112 3 4 0 0 0 0 2205 216 7 8 0 0 0 0\n  eth1: 11 12 0 0 0 0 0 0 15 16 0 0 0 0 0 0\n")
	}
	const grown = "usage_usec 1800000\nuser_usec 1450000\nsystem_usec 350000\nthrottled_usec 125000\n"
	n.host.write("sys/fs/cgroup/older/cpu.stat", grown)
	n.host.write("sys/fs/cgroup/docker/cpu.stat", grown)
	n.host.write("sys/fs/cgroup/kubepods.slice/kubepods-pod"+podUID+".slice/cpu.stat", grown)
	n.sandboxes["web"].Report(simulate.Use{
		CPU:       map[string]time.Duration{"web": 0, "web-app": 910 * time.Millisecond, "web-sidecar": 320 * time.Millisecond},
		Memory:    map[string]int64{"web": 0, "web-app": 64 << 10, "web-sidecar": 96 << 10}, // the sum exceeds the sandbox's memory
		Processes: map[string]int64{"web": 1, "web-app": 6, "web-sidecar": 2},
	})
	n.sandboxes["docker"].Report(dockerUse(1010 * time.Millisecond))
}

func dockerUse(cpu time.Duration) simulate.Use {
	return simulate.Use{
		CPU:       map[string]time.Duration{"docker": cpu},
		Memory:    map[string]int64{"docker": 80 << 10},
		Processes: map[string]int64{"docker": 4},
	}
}

// end ends sandboxes in each way, and deletes a container.
func (n *goldenNode) end() {
	n.exit("end-exit-0", 0)
	n.exit("end-exit-3", 3)
	n.exit("end-exit-137", 137)
	n.signal("end-kill-9", unix.SIGKILL)
	n.signal("end-kill-15", unix.SIGTERM)
	n.host.write("sys/fs/cgroup/end-oom/memory.events", "oom 1\noom_kill 1\n")
	n.signal("end-oom", unix.SIGKILL)
	n.must(n.sandboxes["end-checkpointed"].Update(func(s *simulate.Spec) { s.Checkpointed = true }))
	n.exit("end-checkpointed", 0)
	n.must(n.sandboxes["end-vanished"].RemoveState(""))
	n.unregister(n.kubernetes, "end-unregistered")
	for _, id := range []string{"end-log", "end-log-refused"} {
		n.must(n.sandboxes[id].Add("fs_opens", nil, 9))
		n.exit(id, 0)
	}
	n.must(n.sandboxes["db"].Update(func(s *simulate.Spec) { s.More = s.More[:1] }))
}

// fail makes the metrics of a sandbox unavailable.
func (n *goldenNode) fail() {
	n.must(os.Remove(n.sandboxes["fail-unreachable"].SocketPath()))
}
