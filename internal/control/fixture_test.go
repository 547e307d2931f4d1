package control

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/clock"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/guard"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// ample is a timeout that is long enough for everything that is not meant to be late.
const ample = time.Minute

// world is a runtime root of simulated sandboxes and a loop that queries them.
type world struct {
	*testing.T
	root string
	loop *Loop
}

func newWorld(t *testing.T) *world {
	t.Helper()
	loop, err := NewLoop(guard.New(clock.Real))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t, testkit.TempDir(t), loop}
	t.Cleanup(func() {
		if err := loop.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// start starts a sandbox.
func (w *world) start(spec simulate.Spec) *simulate.Sandbox {
	w.Helper()
	return testkit.Start(w, w.root, spec)
}

// fleet starts n sandboxes; spec may change their specs.
func (w *world) fleet(n int, spec func(i int, s *simulate.Spec)) *simulate.Fleet {
	w.Helper()
	f, err := simulate.StartFleet(w.root, n, simulate.FleetOptions{Points: 8, Spec: spec})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { f.Remove() })
	return f
}

// path is a path in the root.
func (w *world) path(name string) string { return filepath.Join(w.root, name) }

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// probe is a Query that accepts any JSON value with white space around it as a reply, and records
// the outcome.
type probe struct {
	address *Address
	request []byte
	limit   int
	timeout time.Duration
	refuse  func(peer int) *failure.Failure // what Connected returns; may be nil
	onRead  func()                          // before each Read; may be nil
	onEnd   func(p *probe)                  // may be nil
	next    func() Query                    // may be nil

	outcome
	took  time.Duration
	peers []int // given to Connected
	reads int   // calls of Read
	ends  int
}

// outcome is the text of the reply, or the reason why there is none.
type outcome struct {
	reply   string
	failure *failure.Failure
}

// newProbe returns a query of the socket at path, with enough time and room for any honest reply.
func newProbe(path string) *probe { return probeAt(NewAddress(path, "")) }

func probeAt(a *Address) *probe {
	return &probe{address: a, request: ExportRequest(), limit: 1 << 20, timeout: ample}
}

func (p *probe) Address() *Address      { return p.address }
func (p *probe) Request() []byte        { return p.request }
func (p *probe) Limit() int             { return p.limit }
func (p *probe) Timeout() time.Duration { return p.timeout }

func (p *probe) Connected(peer int) *failure.Failure {
	p.peers = append(p.peers, peer)
	if p.refuse != nil {
		return p.refuse(peer)
	}
	return nil
}

func (p *probe) Read(r Reply, took time.Duration) bool {
	if p.onRead != nil {
		p.onRead()
	}
	p.reads++
	if !json.Valid(r.Untrusted()) {
		return false
	}
	p.end(outcome{reply: string(r.Untrusted())}, took)
	return true
}

func (p *probe) Next() Query {
	if p.next == nil {
		return nil
	}
	return p.next()
}

func (p *probe) Fail(f *failure.Failure, took time.Duration) { p.end(outcome{failure: f}, took) }

func (p *probe) end(o outcome, took time.Duration) {
	p.outcome, p.took = o, took
	p.ends++
	if p.onEnd != nil {
		p.onEnd(p)
	}
}

// failed reports whether the query failed for the reason.
func (o outcome) failed(reason failure.Reason) bool {
	return o.failure != nil && o.failure.Reason == reason
}

// is reports whether the query failed with err.
func (o outcome) is(err error) bool { return o.failure != nil && errors.Is(o.failure, err) }

// honest reports whether the reply is that of an honest simulated sandbox.
func (o outcome) honest() bool {
	text := strings.TrimSpace(o.reply)
	return strings.HasPrefix(text, `{"success":true,"err":"","result":{"snapshot":{`) && strings.HasSuffix(text, `}}}`)
}

// probes returns a query of each sandbox.
func probes(sandboxes []*simulate.Sandbox) []*probe {
	var all []*probe
	for _, s := range sandboxes {
		all = append(all, newProbe(s.SocketPath()))
	}
	return all
}

// repeat returns n queries of one sandbox.
func repeat(n int, s *simulate.Sandbox) []*probe {
	a := NewAddress(s.SocketPath(), "")
	all := make([]*probe, n)
	for i := range all {
		all[i] = probeAt(a)
	}
	return all
}

// queries returns the probes as a []Query.
func queries(all []*probe) []Query {
	var qs []Query
	for _, p := range all {
		qs = append(qs, p)
	}
	return qs
}

// ask runs one query.
func (w *world) ask(p *probe) *probe {
	w.Helper()
	w.run(p)
	return p
}

// run runs queries that have plenty of time.
func (w *world) run(all ...*probe) {
	w.Helper()
	w.runUntil(time.Now().Add(ample), all)
}

// runUntil runs queries, maybe beside other runs, and checks that each ended once.
func (w *world) runUntil(deadline time.Time, all []*probe, alarms ...Alarm) {
	w.Helper()
	for _, p := range all {
		p.outcome, p.took, p.reads, p.ends = outcome{}, 0, 0, 0
	}
	w.loop.Run(queries(all), deadline, alarms...)
	for i, p := range all {
		if p.ends != 1 {
			w.Errorf("query %d ended %d times", i, p.ends)
		}
		if (p.failure == nil || p.failed(failure.Stalled)) && p.took <= 0 {
			w.Errorf("query %d took %v: %v", i, p.took, p.failure)
		}
	}
}

// allHonest checks that each query got the reply of an honest sandbox.
func (w *world) allHonest(all []*probe) {
	w.Helper()
	for i, q := range all {
		if !q.honest() {
			w.Errorf("query %d: %q, %v", i, q.reply, q.failure)
		}
	}
}

// allFailed checks that each query failed for the reason.
func (w *world) allFailed(all []*probe, reason failure.Reason) {
	w.Helper()
	for i, q := range all {
		if !q.failed(reason) {
			w.Errorf("query %d: %q, %v, want %v", i, q.reply, q.failure, reason)
		}
	}
}

// await waits until a channel is closed, but not longer than ample.
func await(happened <-chan struct{}) {
	select {
	case <-happened:
	case <-time.After(ample):
	}
}

// stalling returns a Behavior that does not reply before release is closed, and then honestly. The
// n-th request closes arrived.
func stalling(n int64) (b simulate.Behavior, arrived, release chan struct{}) {
	arrived, release = make(chan struct{}), make(chan struct{})
	var requests atomic.Int64
	return func(x *simulate.Exchange) error {
		if requests.Add(1) == n {
			close(arrived)
		}
		await(release)
		return simulate.Honest(x)
	}, arrived, release
}

// fragments sends a reply in fragments that arrive one by one: each is sent when the previous one
// has been read.
func fragments(pieces ...string) simulate.Behavior {
	return func(x *simulate.Exchange) error {
		for _, piece := range pieces {
			if err := x.Send([]byte(piece)); err != nil {
				return err
			}
			if err := untilRead(x); err != nil {
				return err
			}
		}
		return nil
	}
}

// untilRead waits until everything that was sent has been read.
func untilRead(x *simulate.Exchange) error {
	for unread(x) {
		if err := x.Wait(20 * time.Microsecond); err != nil {
			return err
		}
	}
	return nil
}

// unread reports whether sent data has not been read yet.
func unread(x *simulate.Exchange) bool {
	var n int
	raw, err := x.Conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	}
	return err == nil && n > 0
}

// bytesOf returns the bytes of a text as texts.
func bytesOf(text string) []string { return strings.Split(text, "") }
