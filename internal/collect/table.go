package collect

import (
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
)

// table is what is remembered from collection to collection: the known sandboxes. It belongs to the collection under way.
type table struct {
	collector *Collector
	options   *Options
	byID      map[string]*sandbox
	sorted    []*sandbox // by ID
	compiled  map[*state.Registration]*compiled
	total     int // sandboxes ever served

	capabilities map[string]*snapshot.LabelSet // by name
	reasons      map[failure.Reason][]*snapshot.LabelSet

	unreadable int               // state files
	fileErrs   map[string]string // by state file: the error that the log has

	saidForeign         bool // the log has that processes cannot be seen
	saidNotInstrumented bool // the log has that there are sandboxes without metrics
}

func newTable(c *Collector) *table {
	return &table{
		collector:    c,
		options:      &c.options,
		byID:         make(map[string]*sandbox),
		compiled:     make(map[*state.Registration]*compiled),
		capabilities: make(map[string]*snapshot.LabelSet),
		reasons:      make(map[failure.Reason][]*snapshot.LabelSet),
		fileErrs:     make(map[string]string),
	}
}

func (t *table) close() {
	for _, s := range t.sorted {
		s.process.Release()
	}
	t.byID, t.sorted = nil, nil
}

// serves reports whether the sandbox is one of ours.
func (t *table) serves(facts *state.Sandbox) bool {
	if t.options.OnlySandbox != "" {
		return facts.ID == t.options.OnlySandbox
	}
	if t.options.MatchAddress == "" {
		return facts.Registration != nil
	}
	return facts.MetricServer != "" && config.ExpandAddress(facts.MetricServer, t.options.RootDir) == t.options.MatchAddress
}

// update makes the table hold the sandboxes of the listing that are served, and no others.
func (t *table) update(listing state.Listing) {
	known := t.byID
	t.byID = make(map[string]*sandbox, len(known))
	t.sorted = t.sorted[:0]
	for _, facts := range listing.Sandboxes {
		if !t.serves(facts) {
			continue
		}
		s := known[facts.ID]
		isNew := s == nil || !s.is(facts)
		if isNew {
			s = newSandbox(t.collector, facts)
			t.total++
		} else {
			delete(known, facts.ID)
		}
		if s.facts != facts {
			s.learn(t.collector, facts, t.compile(facts.Registration))
		}
		if isNew {
			t.checkNamespace(s)
		}
		t.byID[facts.ID] = s
		t.sorted = append(t.sorted, s)
	}
	for _, gone := range known {
		gone.process.Release()
	}
	t.forgetUnused(len(known))
	t.unreadable = len(listing.Errors)
	t.logFileErrors(listing.Errors)
	t.logNotInstrumented(listing.Sandboxes)
}

// checkNamespace says so once if sandboxes have processes that cannot be seen from here. Then all seem to have ended, and that their control
// sockets accept connections is the only sign that they have not.
func (t *table) checkNamespace(s *sandbox) {
	if t.saidForeign || s.running() || s.process.PID() <= 0 || !s.address.Listening() {
		return
	}
	t.saidForeign = true
	t.options.Logger.Error("A sandbox listens, and its process cannot be seen: run the server in the host's PID namespace (hostPID: true), "+
		"else all sandboxes count as ended", "sandbox", s.facts.ID, "pid", s.process.PID())
}

func (t *table) compile(r *state.Registration) *compiled {
	if r == nil {
		return nil
	}
	c := t.compiled[r]
	if c == nil {
		c = compile(r)
		t.compiled[r] = c
	}
	return c
}

// forgetUnused drops what was compiled for sandboxes that are all gone.
func (t *table) forgetUnused(gone int) {
	if gone == 0 {
		return
	}
	used := make(map[*state.Registration]bool)
	for _, s := range t.sorted {
		used[s.facts.Registration] = true
	}
	for r := range t.compiled {
		if !used[r] {
			delete(t.compiled, r)
		}
	}
}

// hangupGrace is how long a sandbox that has closed its socket gets to end: a process closes its file descriptors a moment before it has
// ended.
const hangupGrace = 20 * time.Millisecond

// clearFailuresOfExited clears the failures of sandboxes that ended while they were queried: a sandbox that has ended is not broken. It
// waits for those that have just closed their sockets, all of them together at most once the grace.
func (t *table) clearFailuresOfExited() {
	if !slices.ContainsFunc(t.sorted, func(s *sandbox) bool { return s.failure != nil }) {
		return
	}
	t.collector.watcher.Sync()
	grace := time.NewTimer(hangupGrace)
	defer grace.Stop()
	for _, s := range t.sorted {
		if !s.running() || s.before != nil || !hungUp(s.failure) {
			continue
		}
		select {
		case <-s.process.Done():
		case <-grace.C:
			grace.Reset(0) // for the next one
		}
	}
	t.collector.watcher.Sync() // for processes without a pidfd
	for _, s := range t.sorted {
		if !s.running() {
			s.failure = nil
		}
	}
}

// hungUp reports whether a failure may mean that the process is ending.
func hungUp(f *failure.Failure) bool {
	return f != nil && (f.Reason == failure.Closed || f.Reason == failure.Unreachable)
}
