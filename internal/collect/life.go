package collect

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/registration"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
	"github.com/sandmeter/sandmeter/internal/totals"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// A life is one life of a sandbox. It begins when its state file is found, and moves through states;
// see transitions. It is kept until it is out of snapshots and its state file is gone or is another
// life's. The collector's mu guards it, except for the contents of last and usage.account.
type life struct {
	*env
	home     *home
	state    lifeState // use now
	origin   origin
	seen     int // its number in the order of first sight
	facts    *state.Sandbox
	identity *snapshot.Identity
	address  *control.Address
	refused  *failure.Failure // set if the texts of its state files are too large for labels

	// Its process. Before it is proven, and where the server cannot see it, process is none.
	process  *host.Process
	holders  holders
	level    int              // index at which the process has the PID in the state file
	presumed bool             // no connection has confirmed the process
	unproven *failure.Failure // why the process is not proven; nil: it is

	// Its registration.
	build     *registration.Build // nil: not known yet; use buildOf
	borrowed  *state.Registration // used if it has no registration of its own; nil: none
	borrowErr error               // why none could be borrowed; nil: it was, or was not tried
	compiled  *compiled           // nil: no registration

	// Its queries and their results.
	queries  *queries // nil: not made yet; use queriesOf
	epoch    int      // changes when replies to earlier queries do not count any more
	commits  int      // replies that became the baseline
	sampling bool     // a first sample was begun when its state file appeared
	baseline verify.Baseline
	savings  verify.Savings  // reported by the sandbox; zero: not yet
	measured snapshot.Source // the last reply, of which the sizes are known
	usage    usage

	// The last collection that selected it.
	selected bool             // by the collection under way, or the last one
	pending  bool             // its export query has neither succeeded nor failed yet
	took     time.Duration    // of its export query; 0: none has ended
	failure  *failure.Failure // why it has no metrics; nil: it has
	before   *failure.Failure // failure as of the collection before that
	logged   failure.Reason   // reason of the last failure that was logged; empty: none, or the recovery was logged
	lines    logBudget

	// Its end.
	totals *totals.Life                  // nil: it is not counted
	ends   *endings                      // takes the life when its end is observed
	last   *atomic.Pointer[finalReading] // of its process, from where the end is observed; see watchEnd
	frozen *frozen                       // its last values; nil: not made yet
	end    *snapshot.End                 // nil: its life is not closed
	hiding snapshot.Hiding

	derived *atomic.Value // for stages after the snapshot; see snapshot.Sandbox
}

// A home is the runtime root of a life.
type home struct {
	path  string
	label string // value of the label runtime_root; empty: no such label
	root  *state.Root
}

// move changes the state. A move that is not in transitions is a mistake in the server: it is logged, and
// the life moves nevertheless.
func (l *life) move(to lifeState) {
	if l.state == to {
		return
	}
	if !slices.Contains(transitions[l.state], to) {
		l.options.Logger.Error("Mistake in the server: unexpected transition of a sandbox", append(l.attrs(), "from", l.state, "to", to)...)
	}
	l.state = to
}

// now returns the state. The watcher learns of the end of a process on its own goroutine, so the life
// moves when it is looked at.
func (l *life) now() lifeState {
	if (l.state == running || l.state == orphaned) && l.process.End() != nil {
		l.move(ended)
	}
	return l.state
}

// phase returns where the sandbox is in its life. One that was unregistered runs until its process ends,
// or until its state file is gone if the process is not known.
func (l *life) phase() snapshot.Phase {
	if now := l.now(); now != unregistered || l.process.PID() == 0 || l.process.End() == nil {
		return now.phase()
	}
	return snapshot.Ended
}

// runs reports whether the sandbox has a process that has not ended.
func (l *life) runs() bool { p := l.phase(); return p == snapshot.Running || p == snapshot.Orphaned }

// final returns the last reading; nil: the end has not been observed.
func (l *life) final() *finalReading { return l.last.Load() }

// A finalReading is the last reading of the host about a sandbox that has ended.
type finalReading struct {
	at      time.Time
	usage   fact.Reading
	oom     bool             // the cgroup has run out of memory
	scope   fact.OOMScope    // whose limit that was
	outcome snapshot.Outcome // empty: the status of the process tells
}

// is reports whether facts are about the same life.
func (l *life) is(facts *state.Sandbox) bool {
	hasEnded := !l.now().lives() || l.final() != nil
	restarted := hasEnded && facts.PID > 0 && facts.PID != l.facts.PID
	return l.facts.CreatedAt.Equal(facts.CreatedAt) && !restarted
}

// sampled reports whether the sandbox has a verified reply.
func (l *life) sampled() bool { return !l.baseline.When.IsZero() }

// shown reports whether the sandbox is in snapshots.
func (l *life) shown() bool {
	switch now := l.now(); {
	case now.leaves(), now == orphaned && l.options.HideOrphans:
		return false
	case l.options.Linger > 0:
		return true
	}
	return l.runs()
}

// reset drops the results of all queries, and the time budgets, because the sandbox has a new
// process or another registration: the next reply must not be compared with replies from before.
func (l *life) reset() {
	l.measured = snapshot.Source{}
	l.baseline, l.savings, l.failure = verify.Baseline{}, verify.Savings{}, nil
	l.queries = nil
	l.epoch++
	l.usage.reported.detailed = l.options.UsageDetail
}

// attrs returns the attributes of all log lines about the sandbox.
func (l *life) attrs() []any {
	attrs := []any{"sandbox", l.facts.ID}
	add := func(name, value string) {
		if value != "" {
			attrs = append(attrs, name, value)
		}
	}
	add("pod", l.identity.Labels.Pod)
	add("namespace", l.identity.Labels.Namespace)
	add("root", l.home.label)
	return attrs
}
