package collect

import (
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// TestHungRoot: a runtime root that does not answer takes nothing from the others. Its sandboxes stay as they
// are, and the page says why they have no metrics. The log does so if it lasts, since a busy machine delays calls.
func TestHungRoot(t *testing.T) {
	n, k := newRecordedNode(t, nil)
	one, _ := n.addRoot("one", "a", 1)
	two, s := n.addRoot("two", "b", 2)
	n.serve(one, two)
	const hung, failed = "sandmeter_runtime_root_hung{", `sandmeter_sandboxes_failed{reason="root_hung"}`
	n.expect(n.page(), hung, hung+`runtime_root="`+one+`"} 0`, hung+`runtime_root="`+two+`"} 0`)
	answers := n.collector.guard.Mark(two)
	for range 3 {
		snap := n.collect()
		page := text(snap)
		n.expect(page, opens, opens+`runtime_root="`+one+`",sandbox="a"} 1`)
		n.expect(page, hung, hung+`runtime_root="`+one+`"} 0`, hung+`runtime_root="`+two+`"} 1`)
		n.expect(page, failed, failed+" 1")
		if len(snap.Sandboxes) != 2 || snap.Sandboxes[1].Phase != snapshot.Running {
			t.Errorf("the sandboxes are %+v", snap.Sandboxes)
		}
	}
	if log := n.log.String(); strings.Contains(log, "Runtime root") {
		t.Errorf("the log has at once\n%s", log)
	}
	n.clock.set(func() time.Time { return time.Now().Add(hungLogAfter) })
	n.collect()
	n.collector.Arrive(two, "c_sandbox:c.state", true) // returns, and does nothing
	if _, err := n.collector.Register(t.Context(), two, "b"); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("registering: %v", err)
	}
	if err := n.collector.Ready(); err != nil {
		t.Errorf("one root answers: %v", err)
	}
	answersToo := n.collector.guard.Mark(one)
	n.collect()
	if err := n.collector.Ready(); err == nil || !strings.Contains(err.Error(), "no runtime root answers") {
		t.Errorf("no root answers: %v", err)
	}
	answersToo()
	n.must(s.Remove())
	answers()
	n.expect(n.page(), hung, hung+`runtime_root="`+one+`"} 0`, hung+`runtime_root="`+two+`"} 0`)
	n.finish(true)
	k.expect(t, "b vanished last_sample")
	if log := n.log.String(); strings.Count(log, "Runtime root does not answer") != 1 || strings.Count(log, "Runtime root is readable") != 1 {
		t.Errorf("the log is\n%s", log)
	}
}

// TestHungFromTheStart: a server that starts with a root that does not answer serves the others.
func TestHungFromTheStart(t *testing.T) {
	n := newNode(t, nil)
	n.start(simulate.Spec{ID: "a"})
	one, _ := n.addRoot("one", "b", 2)
	n.collector.guard.Mark(n.root)
	n.serve(n.root, one)
	n.expect(n.page(), opens, opens+`runtime_root="`+one+`",sandbox="b"} 2`)
}
