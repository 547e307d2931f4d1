package collect

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// reporting is a node with the sandbox "a" of two containers, "a" and "b", the second named "app". It
// has a clock of its own.
type reporting struct {
	*hostTree
	sandbox *simulate.Sandbox
	use     simulate.Use
}

func newReporting(t *testing.T, change func(*Options), spec func(*simulate.Spec)) *reporting {
	t.Helper()
	h := newMeasuredNode(t, change)
	s := measured("a")
	if spec != nil {
		spec(&s)
	}
	clock := s.Root.CreatedAt
	h.clock.set(func() time.Time { return clock })
	s.Now = h.now
	r := &reporting{hostTree: h, sandbox: h.start(s)}
	return r
}

// use is what the host measures and the sandbox reports from now on, in milliseconds of CPU time.
func (r *reporting) set(host, a, b int) {
	r.Helper()
	r.write(r.T, "sys/fs/cgroup/a/cpu.stat", fmt.Sprintf("usage_usec %d\n", host*1000))
	r.use.CPU = map[string]time.Duration{"a": time.Duration(a) * time.Millisecond, "b": time.Duration(b) * time.Millisecond}
	r.sandbox.Report(r.use)
	r.pass(10 * time.Second)
}

// usage collects, and returns the samples of the families that begin with the prefix.
func (r *reporting) usage(prefix string) string {
	r.Helper()
	return usageText(r.page(), "a", prefix)
}

// usageText returns samples about a sandbox on a page, sorted, without the names of families.
func usageText(page, sandbox, prefix string) string {
	var lines []string
	for name, value := range usageOn(page, sandbox) {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			lines = append(lines, strings.ReplaceAll(rest, `"`, "")+" "+value)
		}
	}
	return joinSorted(lines)
}

// shares are the families of CPU time of containers.
const shares = "sandmeter_container_cpu_seconds_total"

func (r *reporting) expectShares(none, a, b string) {
	r.Helper()
	want := fmt.Sprintf("{container=,container_id=} %s; {container=a,container_id=a} %s; {container=app,container_id=b} %s", none, a, b)
	if got := r.usage(shares); got != want {
		r.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestShares(t *testing.T) {
	r := newReporting(t, nil, nil)
	r.set(3000, 2000, 1000)
	r.expectShares("0", "2", "1")
	r.set(5000, 2000, 2000)
	r.expectShares("0", "2", "3")
	r.set(6000, 2000, 2000)
	r.expectShares("1", "2", "3")
	if got := r.sandbox.Stats(); got.Connections != 1+3 || got.Queries != 6 {
		t.Errorf("%d connections and %d queries at first sight and in 3 collections", got.Connections, got.Queries)
	}
	r.expectLog()
}

// TestSharesRestored: what was used before a checkpoint is not credited.
func TestSharesRestored(t *testing.T) {
	r := newReporting(t, nil, func(s *simulate.Spec) { s.Restored, s.CPUTimeSaved = true, 1 })
	r.set(1000, 9000, 100)
	r.expectShares("1", "0", "0")
	r.set(3000, 10000, 1100)
	r.expectShares("1", "1", "1")
}

// TestSharesByName: a sandbox may report containers by name. A name that a later container has too is
// that of the later one.
func TestSharesByName(t *testing.T) {
	r := newReporting(t, nil, func(s *simulate.Spec) {
		c := s.More[0]
		c.ID, c.CreatedAt = "c", c.CreatedAt.Add(-time.Second)
		s.More = append(s.More, c)
	})
	r.set(3000, 0, 0)
	r.use.CPU = map[string]time.Duration{"a": 1, "app": 2}
	r.sandbox.Report(r.use)
	if got := r.usage(shares); got != "{container=,container_id=} 0; {container=a,container_id=a} 1; {container=app,container_id=b} 2" {
		t.Errorf("got %s", got)
	}
}

// TestSharesFail: when a sandbox does not report, the figures of its containers are absent with a
// reason, and all others are there. What was missed is split later.
func TestSharesFail(t *testing.T) {
	check := func(name, reason, log string, b simulate.Behavior) {
		t.Run(name, func(t *testing.T) {
			r := newReporting(t, func(o *Options) { o.SandboxTimeout = time.Minute }, nil)
			r.set(1000, 1000, 0)
			r.expectShares("0", "1", "0")
			if strings.HasSuffix(log, "stalled") {
				r.collector.table.sorted[0].queries.event.budget.limit = stalledTimeout // as if that were the full timeout
			}
			r.sandbox.SetBehavior(simulate.On(simulate.MethodEvent, b))
			for range 2 {
				r.set(2000, 1000, 1000)
				page := r.page()
				if got := usageText(page, "a", shares); got != "" {
					t.Errorf("got %s", got)
				}
				if got := usageText(page, "a", "sandmeter_sandbox_usage_absent"); got != "{reason="+reason+"} 1" {
					t.Errorf("absent because of %q, want %s", got, reason)
				}
				if got := usageText(page, "a", "sandmeter_sandbox_cpu_seconds"); got != "_total{} 2" {
					t.Errorf("the host's figure: %q", got)
				}
				if got := failureOf(page); got != "" {
					t.Errorf("the sandbox has no metrics because of %s", got)
				}
			}
			r.expectLog(log)
			r.sandbox.SetBehavior(nil)
			r.collector.table.sorted[0].queries.event.budget.limit = 0
			r.expectShares("0", "1", "1")
		})
	}
	say := func(text string) simulate.Behavior {
		return func(x *simulate.Exchange) error { return x.Send([]byte(text)) }
	}
	const line = `msg="Sandbox does not report the usage of its containers" sandbox=a reason=`
	check("an error", "event_refused", line+`reply_refused err="reply refused: the sandbox reports an error (\"no\")"`, say(`{"success":false,"err":"no","result":null}`))
	check("nonsense", "event_refused", line+"reply_refused", say(`[]`))
	check("it stalls", "event_failed", line+"stalled", simulate.Stall)
	check("it hangs up", "event_failed", line+"closed", simulate.HangUp(0.5))
	check("too long", "event_failed", line+"too_long", say(`{"`+strings.Repeat("x", 1<<20)+`"`))
}

// TestSharesOfEnded: a sandbox that ends between its two replies has not failed, and is not logged.
func TestSharesOfEnded(t *testing.T) {
	h := newMeasuredNode(t, nil)
	s := h.start(simulate.Spec{ID: "ends", OwnProcess: true})
	h.addProcess(t, s.PID(), "ends")
	h.write(t, "sys/fs/cgroup/ends/cpu.stat", "usage_usec 1\n")
	ended := make(chan error, 1)
	s.SetBehavior(simulate.On(simulate.MethodEvent, func(x *simulate.Exchange) error {
		err := unix.Kill(s.PID(), unix.SIGKILL)
		if err == nil {
			err = unix.Waitid(unix.P_PID, s.PID(), nil, unix.WEXITED|unix.WNOWAIT, nil)
		}
		ended <- err
		return simulate.HangUp(0.5)(x)
	}))
	page := h.page()
	h.must(<-ended)
	h.expect(page, "runsc_meta_sandbox_running{", `runsc_meta_sandbox_running{sandbox="ends"} 0`)
	h.expectLog()
}

// TestSharesAtTheEnd: when a sandbox has ended, its containers keep their CPU time, also those whose
// state files went first, as those of a pod do. What was used after the last report is of the only
// container besides the one that holds the pod's namespaces, or of none of several.
func TestSharesAtTheEnd(t *testing.T) {
	const before = `{container=,container_id=} 0; {container=a,container_id=a} 0.25; {container=app,container_id=b} 0.75`
	const toNone = `{container=,container_id=} 0.5; {container=a,container_id=a} 0.25; {container=app,container_id=b} 0.75`
	const toApp = `{container=,container_id=} 0; {container=a,container_id=a} 0.25; {container=app,container_id=b} 1.25`
	holder := func(s *simulate.Spec) {
		s.Root.Annotations = map[string]string{"io.kubernetes.cri.container-type": "sandbox"}
	}
	another := func(s *simulate.Spec) { s.More = append(s.More, simulate.Container{ID: "c"}) }
	for _, test := range []struct {
		what  string
		begin func(*simulate.Spec)
		later func(*simulate.Spec) // before the end; nil: nothing changes
		want  string
	}{
		{"the only container", holder, nil, toApp},
		{"the only container was deleted", holder, func(s *simulate.Spec) { s.More = nil }, toApp},
		{"another one came", holder, another, toNone},
		{"another one has come and gone", func(s *simulate.Spec) { holder(s); another(s) }, func(s *simulate.Spec) { s.More = s.More[:1] }, toNone},
		{"no container only holds namespaces", func(s *simulate.Spec) {}, func(s *simulate.Spec) { s.More = nil }, toNone},
	} {
		forever := func(o *Options) { o.Linger = math.MaxInt64 } // the clock is not that of ends
		r := newReporting(t, forever, func(s *simulate.Spec) { s.OwnProcess = true; test.begin(s) })
		r.addProcess(t, r.sandbox.PID(), "a")
		r.set(0, 0, 0)
		r.page()
		r.set(1000, 100, 300)
		if got := r.usage(shares); got != before {
			t.Errorf("%s, before the end: %s", test.what, got)
		}
		if test.later != nil {
			r.update(r.sandbox, test.later)
			r.look()
		}
		r.set(1500, 0, 0)
		r.must(r.sandbox.Exit(0))
		// A page at this moment may be older than the last reading of the cgroup.
		testkit.Until(t, test.what+", the last figures are on the page", func() bool { return r.usage(shares) == test.want })
		if got := r.usage(shares); got != test.want {
			t.Errorf("%s, after the end: %s", test.what, got)
		}
	}
}

// TestLookMakesWay: a look at the roots measures new sandboxes, unless a collection is due.
func TestLookMakesWay(t *testing.T) {
	r := newReporting(t, func(*Options) {}, func(s *simulate.Spec) { s.OwnProcess = true })
	r.addProcess(t, r.sandbox.PID(), "a")
	for _, measured := range []bool{false, true} {
		if !measured {
			r.collector.due.Add(1)
		}
		r.look()
		if !measured {
			r.collector.due.Add(-1)
		}
		if got := r.collector.table.sorted[0].usage.account.Load() != nil; got != measured {
			t.Errorf("measured is %v, want %v", got, measured)
		}
	}
}

// TestHungUp: after which failures a collection waits a moment for the end of the process: after new
// ones, of either query, that an end can cause.
func TestHungUp(t *testing.T) {
	closed, stalled := failure.New(failure.Closed, errors.New("closed")), failure.New(failure.Stalled, errors.New("stalled"))
	check := func(what string, want bool, set func(*life)) {
		t.Helper()
		var s life
		if set(&s); s.hungUp() != want {
			t.Errorf("%s: %v, want %v", what, !want, want)
		}
	}
	check("it replied", false, func(*life) {})
	check("it hung up", true, func(s *life) { s.failure = closed })
	check("it hung up again", false, func(s *life) { s.failure, s.before = closed, closed })
	check("it stalled", false, func(s *life) { s.failure = stalled })
	check("it hung up after its metrics", true, func(s *life) { s.usage.reported.failure = closed })
	check("it hung up after its metrics again", false, func(s *life) {
		s.usage.reported.failure, s.usage.reported.loggedFailure = closed, failure.Closed
	})
	check("it stalled after its metrics", false, func(s *life) { s.usage.reported.failure = stalled })
}

// TestSharesUnmeasured: a sandbox is not asked if the host measured nothing that its reply is about.
func TestSharesUnmeasured(t *testing.T) {
	h := newMeasuredNode(t, nil)
	s := h.start(simulate.Spec{ID: "other"})
	h.write(t, fmt.Sprintf("proc/%d/net/dev", s.PID()), "head\nhead\n")
	usage := usageOn(h.page(), "other")
	if got := s.Stats().Queries; got != 1 || usage[`sandmeter_sandbox_usage_absent{reason="event_failed"}`] != "" {
		t.Errorf("%d queries, usage %v", got, usage)
	}
}

// detailed are the options with UsageDetail.
func detailed(o *Options) { o.UsageDetail = true }

// TestDetail: each container takes a query, on the same connection.
func TestDetail(t *testing.T) {
	r := newReporting(t, detailed, nil)
	r.use.Memory, r.use.Processes = map[string]int64{"a": 8192, "b": 24576}, map[string]int64{"a": 1 << 40}
	r.set(1000, 0, 0)
	page := r.page()
	// The host measured 4096 bytes.
	const memory = "{container=a,container_id=a,split=none} 1024; {container=app,container_id=b,split=none} 3072"
	const processes = "{container=a,container_id=a} 1099511627776; {container=app,container_id=b} 0"
	if got := usageText(page, "a", "sandmeter_container_memory_bytes") + usageText(page, "a", "sandmeter_container_processes"); got != memory+processes {
		t.Errorf("got %s", got)
	}
	if got := r.sandbox.Stats(); got.Connections != 1+1 || got.Queries != 3 {
		t.Errorf("%d connections and %d queries at first sight and in a collection", got.Connections, got.Queries)
	}
}

// TestContainersChange: a container that is deleted while the sandbox is asked about it is no failure.
func TestContainersChange(t *testing.T) {
	r := newReporting(t, detailed, nil)
	r.set(1000, 1000, 0)
	r.sandbox.SetBehavior(simulate.On(simulate.MethodEvent, func(x *simulate.Exchange) error {
		if x.Container == "a" {
			r.update(r.sandbox, func(s *simulate.Spec) { s.More = nil })
			r.collector.Arrive(r.root, "b_sandbox:a.state", false)
		}
		return simulate.Honest(x)
	}))
	r.page()
	r.expectLog()
	if got := r.usage(shares); got != "{container=,container_id=} 0; {container=a,container_id=a} 1" {
		t.Errorf("in the next collection: %s", got)
	}
}

// TestDetailOfPod: where cgroups are mounted in the containers of a pod, as containerd does, the sandbox
// knows the memory of each, and the pause container has none.
func TestDetailOfPod(t *testing.T) {
	r := newReporting(t, detailed, func(s *simulate.Spec) {
		edit := s.EditState
		s.EditState = func(container string, state []byte) []byte {
			state = edit(container, state)
			if container != "b" {
				return state
			}
			const mount = `"mounts":[{"destination":"/sys/fs/cgroup","type":"cgroup","source":"/bundle/cgroup","options":["ro"]},`
			return []byte(strings.Replace(string(state), `"mounts":[`, mount, 1))
		}
	})
	r.use.Memory = map[string]int64{"b": 2000}
	r.set(1000, 0, 0)
	const want = "{container=a,container_id=a,split=none} 0; {container=app,container_id=b,split=none} 2000"
	if got := r.usage("sandmeter_container_memory_bytes"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestDetailFails: if one container is not reported, the memory of all is absent, because it could not
// be compared with the host's. CPU time is there.
func TestDetailFails(t *testing.T) {
	r := newReporting(t, detailed, func(s *simulate.Spec) {
		s.Behavior = simulate.On(simulate.MethodEvent, func(x *simulate.Exchange) error {
			if x.Container == "b" {
				return x.Send([]byte(`{"success":false,"err":"no such container","result":null}`))
			}
			return simulate.Honest(x)
		})
	})
	r.set(1000, 1000, 0)
	page := r.page()
	if got := usageText(page, "a", "sandmeter_container_memory_bytes") + usageText(page, "a", "sandmeter_container_processes"); got != "{container=a,container_id=a} 0" {
		t.Errorf("got %s", got)
	}
	if got := usageText(page, "a", "sandmeter_sandbox_usage_absent"); got != "{reason=event_refused} 1" {
		t.Errorf("absent: %s", got)
	}
	r.expectShares("0", "1", "0")
}
