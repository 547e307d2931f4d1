package collect

import (
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// expectRecords checks outcome, exit status and signal of all sandboxes that have ended.
func (k *keeper) expectRecords(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for _, s := range k.all() {
		got = append(got, fmt.Sprint(s.End.Outcome, " ", s.End.Code, " ", s.End.Signal))
	}
	if !slices.Equal(got, want) {
		t.Errorf("records are %q, want %q", got, want)
	}
}

// kill kills the process of a sandbox, and waits until it is a zombie.
func (n *node) kill(s *simulate.Sandbox) {
	n.Helper()
	n.must(unix.Kill(s.PID(), unix.SIGKILL))
	for {
		err := unix.Waitid(unix.P_PID, s.PID(), nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			n.must(err)
			return
		}
	}
}

// TestClassify: the outcome of an exit, alone and with an OOM kill of the sandbox's cgroup.
func TestClassify(t *testing.T) {
	check := func(exit host.Exit, oom bool, want snapshot.Outcome, wantCode, wantSignal int) {
		t.Helper()
		if outcome, code, signal := classify(exit, oom); outcome != want || code != wantCode || signal != wantSignal {
			t.Errorf("%+v, out of memory: %t: %s %d %d, want %s %d %d", exit, oom, outcome, code, signal, want, wantCode, wantSignal)
		}
	}
	check(host.Exit{}, false, snapshot.Exited, 0, 0)
	check(host.Exit{}, true, snapshot.Exited, 0, 0)
	check(host.Exit{Code: 3}, false, snapshot.Failed, 3, 0)
	check(host.Exit{Code: 3}, true, snapshot.Failed, 3, 0)
	check(host.Exit{Code: 137}, false, snapshot.Failed, 137, 0)
	check(host.Exit{Code: 137}, true, snapshot.OOMKilled, 0, 0)
	check(host.Exit{Code: 143}, true, snapshot.Failed, 143, 0)
	check(host.Exit{Signal: 9}, false, snapshot.Killed, 0, 9)
	check(host.Exit{Signal: 9}, true, snapshot.OOMKilled, 0, 9)
	check(host.Exit{Signal: 15}, true, snapshot.Killed, 0, 15)
}

// TestOutcome: what pages, totals and records say of each way in which a sandbox can end. They agree,
// and do not change anymore, whatever becomes of the process and of the state file.
func TestOutcome(t *testing.T) {
	const outcome, total = "sandmeter_sandbox_outcome", "sandmeter_sandboxes_ended_total"
	const gauge = "runsc_netstack_tcp_current_open"
	check := func(name, labels, record string, end func(*node, *simulate.Sandbox)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			n, k := newRecordedNode(t, nil)
			s := n.start(simulate.Spec{ID: "a", OwnProcess: true})
			before := n.page()
			n.expect(before, gauge, gauge+`{sandbox="a"} 0`)
			end(n, s)
			for range 2 {
				page := n.page()
				n.expect(page, runningSeries, `runsc_meta_sandbox_running{sandbox="a"} 0`)
				n.expect(page, outcome, outcome+`{`+labels+`} 1`)
				n.expect(page, opens, series(before, opens)...)
				n.expect(page, gauge)
			}
			s.Stop()
			n.must(s.Remove())
			page := n.page()
			n.expect(page, outcome, outcome+`{`+labels+`} 1`)
			sum := 0
			for _, line := range series(page, total) {
				var name string
				var count int
				fmt.Sscan(line, &name, &count)
				sum += count
			}
			if sum != 1 {
				t.Errorf("totals have %d ends", sum)
			}
			k.expectRecords(t, record)
		})
	}
	exit := func(status int) func(*node, *simulate.Sandbox) {
		return func(n *node, s *simulate.Sandbox) { n.must(s.Exit(status)) }
	}
	checkpointed := func(spec *simulate.Spec) { spec.Checkpointed = true }

	check("exit 0", `outcome="exited",sandbox="a"`, "exited 0 0", exit(0))
	check("exit 3", `exit_code="3",outcome="failed",sandbox="a"`, "failed 3 0", exit(3))
	check("kill -9", `outcome="killed",sandbox="a",signal="9"`, "killed 0 9", (*node).kill)
	check("checkpoint", `outcome="checkpointed",sandbox="a"`, "checkpointed 0 0", func(n *node, s *simulate.Sandbox) {
		n.update(s, checkpointed)
		n.page()
		n.must(s.Exit(0))
	})
	check("checkpoint after the last listing", `outcome="checkpointed",sandbox="a"`, "checkpointed 0 0", func(n *node, s *simulate.Sandbox) {
		n.update(s, checkpointed)
		n.must(s.Exit(0))
		testkit.Until(t, "its life is closed without a listing", func() bool {
			n.collector.mu.Lock()
			defer n.collector.mu.Unlock()
			return n.life("a").end != nil
		})
	})
	check("failed checkpoint", `exit_code="1",outcome="failed",sandbox="a"`, "failed 1 0", func(n *node, s *simulate.Sandbox) {
		n.update(s, checkpointed)
		n.must(s.Exit(1))
	})
	check("deleted while it runs", `outcome="vanished",sandbox="a"`, "vanished 0 0", func(n *node, s *simulate.Sandbox) {
		n.must(s.RemoveState(""))
		n.page()
		n.must(s.Exit(3))
	})
	check("deleted after the end", `exit_code="3",outcome="failed",sandbox="a"`, "failed 3 0", func(n *node, s *simulate.Sandbox) {
		n.must(s.Exit(3))
		n.must(s.RemoveState(""))
	})
}

// TestOutcomeOfTheDead: of a sandbox that has ended before its state file is found, the outcome is known
// as long as its process is a zombie. If it ended before the server began, it is nothing to count and
// to record.
func TestOutcomeOfTheDead(t *testing.T) {
	const outcome = "sandmeter_sandbox_outcome"
	check := func(name string, begin func(*node), end func(*simulate.Sandbox), want, labels string, records int) {
		t.Run(name, func(t *testing.T) {
			n, k := newRecordedNode(t, nil)
			begin(n)
			s := n.start(simulate.Spec{ID: "a", OwnProcess: true})
			n.must(s.Exit(3))
			end(s)
			total := fmt.Sprintf("sandmeter_sandboxes_ended_total{outcome=%q}", want)
			for range 2 {
				page := n.page()
				n.expect(page, outcome, outcome+"{"+labels+`sandbox="a"} 1`)
				n.expect(page, total, fmt.Sprint(total, " ", records))
			}
			if got := k.all(); len(got) != records {
				t.Errorf("records are %+v, want %d", got, records)
			}
		})
	}
	before, later := func(*node) {}, func(n *node) { n.page() }
	zombie, reaped := func(*simulate.Sandbox) {}, (*simulate.Sandbox).Stop
	check("before the server, a zombie", before, zombie, "failed", `exit_code="3",outcome="failed",`, 0)
	check("before the server, reaped", before, reaped, "unknown", `outcome="unknown",`, 0)
	check("before its state file is found, a zombie", later, zombie, "failed", `exit_code="3",outcome="failed",`, 1)
	check("before its state file is found, reaped", later, reaped, "unknown", `outcome="unknown",`, 1)
}
