package collect

import (
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/state"
)

// table is what is remembered from scrape to scrape: the known sandboxes. Only who has the collector's turn may touch it.
type table struct {
	options  *Options
	byID     map[string]*sandbox
	sorted   []*sandbox // by ID
	able     []*sandbox // of those, the ones that can be asked
	compiled map[*state.Registration]*compiled
	total    int // sandboxes ever served

	processes []*state.Process
	pollFDs   []unix.PollFd
	fileErrs  map[string]string // by state file: the error that the log has

	unreadable int // state files

	saidForeign         bool // the log has that processes cannot be seen
	saidNotInstrumented bool // the log has that there are sandboxes without metrics
}

func newTable(o *Options) *table {
	return &table{
		options:  o,
		byID:     make(map[string]*sandbox),
		compiled: make(map[*state.Registration]*compiled),
		fileErrs: make(map[string]string),
	}
}

func (t *table) close() {
	for _, s := range t.sorted {
		s.process.Close()
	}
	t.byID, t.sorted = nil, nil
}

// serves reports whether the sandbox is one of ours.
func (t *table) serves(facts state.Sandbox) bool {
	f := &facts.Root.Sandbox
	if t.options.OnlySandbox != "" {
		return facts.ID() == t.options.OnlySandbox
	}
	if t.options.MatchAddress == "" {
		return f.Registration != nil
	}
	return f.MetricServer != "" && config.ExpandAddress(f.MetricServer, t.options.RootDir) == t.options.MatchAddress
}

// update makes the table hold the sandboxes of the listing that are ours, and no others.
func (t *table) update(listing state.Listing) {
	known := t.byID
	t.byID = make(map[string]*sandbox, len(known))
	t.sorted = t.sorted[:0]
	for _, facts := range listing.Sandboxes {
		if !t.serves(facts) {
			continue
		}
		s := known[facts.ID()]
		isNew := s == nil || !s.is(facts)
		if isNew {
			s = newSandbox(facts)
			t.total++
		} else {
			delete(known, facts.ID())
		}
		if !s.knows(facts) {
			s.learn(facts, t.options.RootDir, t.compile(facts.Root.Sandbox.Registration))
		}
		if isNew {
			t.checkNamespace(s)
		}
		t.byID[facts.ID()] = s
		t.sorted = append(t.sorted, s)
	}
	for _, gone := range known {
		gone.process.Close()
	}
	t.forgetUnused(len(known))
	t.unreadable = len(listing.Errors)
	t.logFileErrors(listing.Errors)
	t.logNotInstrumented(listing.Sandboxes)
}

// checkNamespace says so once if sandboxes have processes that cannot be seen from here. Then all seem to have ended, and that somebody
// listens for them is the only sign that they have not.
func (t *table) checkNamespace(s *sandbox) {
	if t.saidForeign || s.running() || s.process.PID <= 0 || !s.address.Listening() {
		return
	}
	t.saidForeign = true
	t.options.Logger.Error("A sandbox listens, and its process cannot be seen: run the server in the host's PID namespace (hostPID: true), "+
		"else all sandboxes count as ended", "sandbox", s.facts.ID(), "pid", s.process.PID)
}

// knows reports whether the sandbox has learnt facts already: containers are immutable, so the same ones are the same facts.
func (s *sandbox) knows(facts state.Sandbox) bool {
	return s.facts.Root == facts.Root && slices.Equal(s.facts.Others, facts.Others)
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
		used[s.facts.Root.Sandbox.Registration] = true
	}
	for r := range t.compiled {
		if !used[r] {
			delete(t.compiled, r)
		}
	}
}

// poll looks which sandboxes are still running.
func (t *table) poll() {
	t.processes = t.processes[:0]
	for _, s := range t.sorted {
		t.processes = append(t.processes, s.process)
	}
	t.pollFDs = state.Poll(t.processes, t.pollFDs)
}

// prepare returns the sandboxes that can be asked.
func (t *table) prepare() []*sandbox {
	t.able = t.able[:0]
	for _, s := range t.sorted {
		if s.prepare() {
			t.able = append(t.able, s)
		}
	}
	return t.able
}

// A process that ends closes its descriptors a moment before it has ended. Whoever has just hung up is given dyingTime for that, in looks
// at a time.
const (
	dyingTime = 20 * time.Millisecond
	looks     = 4
)

// excuseEnded forgets the failures of sandboxes that ended while they were asked: they have not failed.
func (t *table) excuseEnded() {
	failed := func(s *sandbox) bool { return s.failure != nil }
	dying := func(s *sandbox) bool { return s.running() && s.before == nil && hungUp(s.failure) }
	if !slices.ContainsFunc(t.able, failed) {
		return
	}
	t.poll()
	for look := 0; look < looks && slices.ContainsFunc(t.able, dying); look++ {
		time.Sleep(dyingTime / looks)
		t.poll()
	}
	for _, s := range t.able {
		if !s.running() {
			s.failure = nil
		}
	}
}

// hungUp reports whether a failure looks as if nobody were there any more.
func hungUp(failure error) bool {
	return errors.Is(failure, control.ErrClosed) || errors.Is(failure, control.ErrUnreachable)
}
