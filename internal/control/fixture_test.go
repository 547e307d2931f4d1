package control

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/sandboxtest"
)

// ample is longer than any answer takes that is not meant to be late.
const ample = 20 * time.Second

// world is a runtime root of simulated sandboxes and a loop that asks them.
type world struct {
	*testing.T
	root string
	loop *Loop
}

func newWorld(t *testing.T) *world {
	t.Helper()
	root, err := os.MkdirTemp("", "sm") // short: the paths of sockets are limited
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	loop, err := NewLoop()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t, root, loop}
	t.Cleanup(func() {
		if err := loop.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// start starts a sandbox.
func (w *world) start(spec sandboxtest.Spec) *sandboxtest.Sandbox {
	w.Helper()
	s, err := sandboxtest.Start(w.root, spec)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { s.Remove() })
	return s
}

// fleet starts n sandboxes of which spec has the last word.
func (w *world) fleet(n int, spec func(i int, s *sandboxtest.Spec)) *sandboxtest.Fleet {
	w.Helper()
	f, err := sandboxtest.StartFleet(w.root, n, sandboxtest.FleetOptions{Points: 8, Spec: spec})
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

// query asks the socket at path for all metrics, with time and room enough for anything honest.
func query(path string) Query {
	return Query{Address: NewAddress(path, ""), Request: ExportRequest(""), Limit: 1 << 20, Timeout: ample}
}

func queryAll(sandboxes []*sandboxtest.Sandbox) []Query {
	var queries []Query
	for _, s := range sandboxes {
		queries = append(queries, query(s.SocketPath()))
	}
	return queries
}

// ask asks one question.
func (w *world) ask(q Query) outcome {
	w.Helper()
	return w.run(q)[0]
}

// run asks and returns what came of each question.
func (w *world) run(queries ...Query) []outcome {
	w.Helper()
	return w.runUntil(time.Now().Add(ample), queries...).outcomes
}

func (w *world) runUntil(deadline time.Time, queries ...Query) *recorder {
	w.Helper()
	r := &recorder{world: w, outcomes: make([]outcome, len(queries))}
	r.run(deadline, queries)
	return r
}

// recorder is a Receiver that takes anything for an answer that is a JSON value with white space around it.
type recorder struct {
	*world
	outcomes []outcome
	ended    []int                  // the questions, in the order in which they came to an end
	receives int                    // calls of Receive
	onEnd    func(i int, err error) // may be nil
}

// outcome is what came of a question: the text of the answer, or the reason why there is none.
type outcome struct {
	answer string
	err    error
}

// run asks the questions, and checks that each came to an end once and that nothing of them is left.
func (r *recorder) run(deadline time.Time, queries []Query) {
	r.Helper()
	r.loop.Run(queries, deadline, r)
	if len(r.ended) != len(queries) {
		r.Errorf("%d of %d questions came to an end", len(r.ended), len(queries))
	}
	spare := 0
	for _, b := range r.loop.spare {
		spare += cap(b)
	}
	if r.loop.inFlight() != 0 || r.loop.held != spare || spare > r.loop.most {
		r.Errorf("after the run %d questions are in flight, %d bytes are held, %d of them spare", r.loop.inFlight(), r.loop.held, spare)
	}
	for _, s := range r.loop.slots {
		if s.fd != noFD || s.partial != nil {
			r.Errorf("after the run a slot has descriptor %d and %d bytes", s.fd, len(s.partial))
		}
	}
}

func (r *recorder) Receive(i int, reply Reply) bool {
	r.receives++
	if !json.Valid(reply.Untrusted()) {
		return false
	}
	r.end(i, outcome{answer: string(reply.Untrusted())})
	return true
}

func (r *recorder) Fail(i int, err error) { r.end(i, outcome{err: err}) }

func (r *recorder) end(i int, o outcome) {
	if r.outcomes[i] != (outcome{}) {
		r.Errorf("question %d comes to an end twice", i)
	}
	r.outcomes[i] = o
	r.ended = append(r.ended, i)
	if r.onEnd != nil {
		r.onEnd(i, o.err)
	}
}

// honest reports whether the text is the answer of a simulated sandbox that tells the truth.
func honest(answer string) bool {
	return strings.HasPrefix(answer, `{"success":true,"err":"","result":{"snapshot":{`) && strings.HasSuffix(answer, `}}}`)
}

// crumbs answers with pieces none of which arrives together with another: each is sent when the one before has been read.
func crumbs(pieces ...string) sandboxtest.Behavior {
	return func(x *sandboxtest.Exchange) error {
		for _, piece := range pieces {
			if err := x.Send([]byte(piece)); err != nil {
				return err
			}
			for unread(x) {
				if err := x.Wait(20 * time.Microsecond); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// unread reports whether something that was sent has not been read.
func unread(x *sandboxtest.Exchange) bool {
	var n int
	raw, err := x.Conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	}
	return err == nil && n > 0
}

// bytesOf returns the bytes of a text as texts.
func bytesOf(text string) []string { return strings.Split(text, "") }
