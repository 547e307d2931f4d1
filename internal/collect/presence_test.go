package collect

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/proof"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// TestPresence: the process that listens on the control socket is the sandbox's, if it has the PID in
// the state file. No clock decides.
func TestPresence(t *testing.T) {
	const step = 10 * time.Minute
	type outcome struct {
		running string
		reason  string   // of the failure
		log     []string // parts of lines
	}
	served := outcome{running: "1"}
	strange := func(n *node) { n.collector.looksLike = proof.Resembles }
	check := func(name string, spec simulate.Spec, clock time.Duration, want outcome, change ...func(*node)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			n := newNode(t, nil)
			for _, f := range change {
				f(n)
			}
			spec.ID, spec.StartTime = "a", time.Now().Add(clock).UTC()
			s := n.start(spec)
			for range 2 {
				page := n.page()
				n.expect(page, runningSeries, `runsc_meta_sandbox_running{sandbox="a"} `+want.running)
				n.expectReason(page, want.reason)
				if queries := s.Stats().Queries > 0; queries != (want.running == "1" && want.reason == "") {
					t.Errorf("it was sent a query: %t", queries)
				}
			}
			n.expectLog(want.log...)
		})
	}
	unreachable := outcome{"1", "unreachable", []string{"no such file"}}
	wrongPeer := outcome{"1", "wrong_peer", []string{"listens on the control socket, and it is not process"}}
	gone := outcome{running: "0"}
	const never = 1<<22 + 1 // above any PID that Linux gives

	check("it listens", simulate.Spec{}, 0, served)
	check("it listens, and seems older than its process", simulate.Spec{}, -step, served)
	check("it listens, and seems younger than its process", simulate.Spec{}, step, served)
	check("it listens, in a process of its own", simulate.Spec{OwnProcess: true}, -step, served)
	check("it listens, and its process does not look like one", simulate.Spec{}, 0, served, strange)
	check("nothing listens", simulate.Spec{NoSocket: true}, -step, unreachable)
	check("nothing listens, and another process has its PID", simulate.Spec{NoSocket: true}, 0, gone, strange)
	check("nothing listens, and no process has its PID", simulate.Spec{PID: never, NoSocket: true}, 0, gone)
	check("another process listens", simulate.Spec{PID: os.Getppid()}, step, wrongPeer)
	check("another process listens, and no process has its PID", simulate.Spec{PID: never}, 0, wrongPeer)
}

// TestOldStateFile: runsc releases of 2023 write the control socket to another field of the state
// file. The log explains that.
func TestOldStateFile(t *testing.T) {
	n := newNode(t, nil)
	n.start(simulate.Spec{ID: "a", ControlSocket: filepath.Join(n.root, "elsewhere.sock"), EditState: func(_ string, b []byte) []byte {
		return bytes.Replace(b, []byte(`"controlSocketPath":`), []byte(`"control_address":`), 1)
	}})
	n.expectReason(n.page(), "unreachable")
	if log := n.log.String(); !strings.Contains(log, "too old for metrics") || !strings.Contains(log, filepath.Join(n.root, "runsc-a.sock")) {
		t.Errorf("the log is\n%s", log)
	}
}

// TestOtherProcess: a sandbox recovers after another process had its socket.
func TestOtherProcess(t *testing.T) {
	n := newNode(t, nil)
	s := n.start(simulate.Spec{ID: "a", OwnProcess: true})
	own := s.PID()
	n.expect(n.page(), opens, `runsc_fs_opens{sandbox="a"} 51`)
	n.update(s, func(spec *simulate.Spec) { spec.PID = os.Getpid() })
	n.expectReason(n.page(), "wrong_peer")
	n.update(s, func(spec *simulate.Spec) { spec.PID = own })
	n.expect(n.page(), opens, `runsc_fs_opens{sandbox="a"} 51`)
}
