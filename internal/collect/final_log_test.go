package collect

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/simulate/liars"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// A loggingNode is a node whose sandboxes leave final metrics logs.
type loggingNode struct {
	*node
	*keeper
	logs string // directory
}

func newLoggingNode(t *testing.T) *loggingNode {
	t.Helper()
	l := &loggingNode{logs: testkit.TempDir(t)}
	l.node, l.keeper = newRecordedNode(t, func(o *Options) { o.FinalLog = filepath.Join(l.logs, "%ID%.log") })
	l.look() // what begins from here on is younger than the server
	return l
}

// spec returns the spec of a sandbox with a log.
func (l *loggingNode) spec(id string) simulate.Spec {
	return simulate.Spec{ID: id, OwnProcess: true, FinalLog: filepath.Join(l.logs, id+".log")}
}

const allOpens = "sandmeter_sandboxes_fs_opens_total"

// checkEnds samples both sandboxes, which have opened 51 files, lets each open 9 more, and ends them.
// Only the honest one has these on the page, in its record and in the totals, and the log has a
// line about the liar.
func (l *loggingNode) checkEnds(liar, honest *simulate.Sandbox, want string) {
	l.Helper()
	l.collect()
	for _, s := range []*simulate.Sandbox{liar, honest} {
		l.must(s.Add("fs_opens", nil, 9))
		s.Stop()
	}
	l.await(l.T, 2)
	for range 2 {
		page := l.page()
		l.node.expect(page, opens, `runsc_fs_opens{sandbox="honest"} 60`, `runsc_fs_opens{sandbox="liar"} 51`)
		l.node.expect(page, allOpens, allOpens+" 111")
		l.node.expect(page, "runsc_meta_sandbox_failure")
	}
	l.keeper.expect(l.T, "honest killed final_metrics_log", "liar killed last_sample")
	for _, s := range l.all() {
		values := map[string]int64{"honest": 60, "liar": 51}
		m := s.Reported.Schema.Find([]byte("fs_opens"))
		if sample, ok := s.Reported.Find(m); !ok || sample.Value != values[s.Labels.Sandbox] {
			l.Errorf("%s is recorded with %+v, want %v", s.Labels.Sandbox, sample, values)
		}
	}
	if log := l.log.String(); !strings.Contains(log, `msg="Final metrics log is refused" sandbox=liar err=`) {
		l.Errorf("the log is\n%s", log)
	}
	l.expectLog(want)
}

// TestFinalLogLiars: whatever is at the path of a final metrics log, it costs that sandbox its last
// values, and nothing else.
func TestFinalLogLiars(t *testing.T) {
	for _, liar := range liars.OfFinalLog() {
		t.Run(liar.Name, func(t *testing.T) {
			l := newLoggingNode(t)
			s, err := liar.Start(l.root, l.spec("liar"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Remove() })
			l.checkEnds(s, l.start(l.spec("honest")), testkit.FinalLogRefusal(liar))
		})
	}
}

// TestFinalLogOfKilled: a sandbox that was killed has an empty log, and one without a log has none. Both
// is usual, so the server's log has nothing about them.
func TestFinalLogOfKilled(t *testing.T) {
	l := newLoggingNode(t)
	killed, without := l.spec("killed"), l.spec("without")
	killed.EditFinalLog = func([]byte) []byte { return nil }
	without.FinalLog = ""
	a, b := l.start(killed), l.start(without)
	l.collect()
	a.Stop()
	b.Stop()
	l.await(l.T, 2)
	l.collect()
	l.keeper.expect(t, "killed killed last_sample", "without killed last_sample")
	l.expectLog()
}

// TestFinalLogWithoutSample: a sandbox that no collection reached has the values of its log.
func TestFinalLogWithoutSample(t *testing.T) {
	l := newLoggingNode(t)
	s := l.start(l.spec("a"))
	l.look()
	s.Stop()
	l.await(l.T, 1)
	page := l.page()
	l.keeper.expect(t, "a killed final_metrics_log")
	l.node.expect(page, opens, `runsc_fs_opens{sandbox="a"} 51`)
	l.node.expect(page, allOpens, allOpens+" 51")
}

// TestFinalLogOfAnotherRegistration: a log counts for nothing if the sandbox has got another registration since it
// was read.
func TestFinalLogOfAnotherRegistration(t *testing.T) {
	l := newLoggingNode(t)
	l.start(l.spec("a"))
	l.collect()
	l.collector.mu.Lock()
	defer l.collector.mu.Unlock()
	of := l.life("a")
	of.last.Store(&finalReading{at: time.Now()})
	defer of.last.Store(nil)
	if got := l.collector.takeFinalLog(of, finalLog{reply: control.NewReply([]byte("x")), schema: new(schema.Schema)}); got != snapshot.FromSample {
		t.Errorf("the last values are from %s", got)
	}
	l.expectLog()
}

// TestFinalLogAfterClockWasSetBack: a log counts if it was written while the process of the sandbox ran, although
// the sandbox was created later by the clock of that time.
func TestFinalLogAfterClockWasSetBack(t *testing.T) {
	taken, samples := regexp.MustCompile(`taken at [^ ]+ [^ ]+`), regexp.MustCompile(`(?m) [0-9]{13}$`)
	check := func(name, want string, at func(now time.Time) time.Time) {
		t.Run(name, func(t *testing.T) {
			l := newLoggingNode(t)
			spec := l.spec("a")
			spec.Root.CreatedAt = time.Now().Add(2 * time.Hour)
			spec.EditFinalLog = func(log []byte) []byte {
				then := at(time.Now()).UTC()
				log = samples.ReplaceAll(log, fmt.Append(nil, " ", then.UnixMilli()))
				return taken.ReplaceAll(log, []byte("taken at "+then.Format("2006-01-02 15:04:05.999999999")))
			}
			s := l.start(spec)
			l.collect()
			s.Stop()
			l.await(l.T, 1)
			l.page()
			l.keeper.expect(t, "a killed "+want)
		})
	}
	check("its own", "final_metrics_log", func(now time.Time) time.Time { return now })
	check("of an earlier sandbox", "last_sample", func(now time.Time) time.Time { return now.Add(-time.Minute) })
}
