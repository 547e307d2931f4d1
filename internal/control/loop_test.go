package control

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/sandboxtest"
)

// TestAnswers is about what sandboxes send, and when.
func TestAnswers(t *testing.T) {
	const soon = 50 * time.Millisecond
	check := func(name string, b sandboxtest.Behavior, timeout time.Duration, wanted func(outcome) bool) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			q := query(w.start(sandboxtest.Spec{ID: "a", Behavior: b}).SocketPath())
			q.Timeout = timeout
			if got := w.ask(q); !wanted(got) {
				t.Errorf("it came to this: %.300q, %v", got.answer, got.err)
			}
		})
	}
	answers := func(name string, b sandboxtest.Behavior) {
		check(name, b, ample, func(got outcome) bool { return honest(strings.TrimSpace(got.answer)) })
	}
	says := func(text string) {
		check("says "+text, sandboxtest.Say(text), ample, func(got outcome) bool { return got.answer == text })
	}
	fails := func(name string, b sandboxtest.Behavior, want error) {
		timeout := ample
		if want == ErrStalled {
			timeout = soon
		}
		check(name, b, timeout, func(got outcome) bool { return errors.Is(got.err, want) })
	}
	around := func(before, after string) sandboxtest.Behavior {
		return sandboxtest.Edit(func(_ *sandboxtest.Exchange, reply string) string { return before + reply + after })
	}

	answers("in one piece", sandboxtest.Honest)
	answers("in pieces of 100 bytes", sandboxtest.Drip(100, time.Millisecond))
	answers("in crumbs of one byte", sandboxtest.Drip(1, 0))
	if name := "with 120 descriptors on each byte"; refusing() {
		answers(name+", which the kernel refuses", sandboxtest.Descriptors(120))
	} else {
		fails(name, sandboxtest.Descriptors(120), ErrDescriptors)
	}
	answers("late, and in time", sandboxtest.Late(soon))
	answers("with white space around it", around(" \r\n\t", "\n"))
	answers("with white space behind it", around("", "\n"))

	// What is no answer is for the receiver to refuse, at once.
	says("null")
	says("42")
	says(`"I am fine"`)
	says("{}")
	says("[]")

	fails("never", sandboxtest.Stall, ErrStalled)
	fails("not to the end", func(x *sandboxtest.Exchange) error {
		if err := x.Send(x.Reply()[:100]); err != nil {
			return err
		}
		return x.Stall()
	}, ErrStalled)
	fails("too slowly", sandboxtest.Drip(1, soon/5), ErrStalled)
	fails("nothing but white space", crumbs(" ", "\n"), ErrStalled)
	fails("by hanging up", sandboxtest.HangUp(0), ErrClosed)
	fails("half, and hangs up", sandboxtest.HangUp(0.5), ErrClosed)
	fails("with points without end", sandboxtest.Flood("[0", ",0", 0, ""), ErrTooLong)
	fails("with a string without end", sandboxtest.Flood(`{"a":"`, "a", 0, ""), ErrTooLong)
	fails("with brackets without end", sandboxtest.Flood("", "[", 0, ""), ErrTooLong)
	fails("with white space without end", sandboxtest.Flood("", " ", 0, ""), ErrTooLong)
	fails("with closing brackets inside without end", sandboxtest.Flood("[{}", ",{}", 0, ""), ErrTooLong)
}

// TestFrozen: a sandbox that takes no connection is one that stalls.
func TestFrozen(t *testing.T) {
	w := newWorld(t)
	q := query(w.start(sandboxtest.Spec{ID: "a", Frozen: true}).SocketPath())
	q.Timeout = 50 * time.Millisecond
	if got := w.ask(q); !errors.Is(got.err, ErrStalled) {
		t.Errorf("it came to this: %q, %v", got.answer, got.err)
	}
}

func TestLimit(t *testing.T) {
	w := newWorld(t)
	const text = `{"an":"answer of 27 bytes"}`
	check := func(name string, b sandboxtest.Behavior) {
		s := w.start(sandboxtest.Spec{ID: strings.ReplaceAll(name, " ", "-"), Behavior: b})
		q := query(s.SocketPath())
		q.Limit = len(text)
		if got := w.ask(q); got.answer != text {
			t.Errorf("%s, exactly at the limit: %q, %v", name, got.answer, got.err)
		}
		q.Limit--
		got := w.ask(q)
		if !errors.Is(got.err, ErrTooLong) || got.err.Error() != "the answer is too long: more than 26 bytes" {
			t.Errorf("%s, one over the limit: %q, %v", name, got.answer, got.err)
		}
	}
	check("in one piece", sandboxtest.Say(text))
	check("in two pieces", crumbs(text[:20], text[20:]))
	check("in crumbs", crumbs(bytesOf(text)...))
}

// TestCrumbsCostNoMore: an answer is looked at whole twice at most, however cleverly it is cut.
func TestCrumbsCostNoMore(t *testing.T) {
	w := newWorld(t)
	check := func(name string, pieces ...string) {
		t.Helper()
		s := w.start(sandboxtest.Spec{ID: name, Behavior: crumbs(pieces...)})
		r := w.runUntil(time.Now().Add(ample), query(s.SocketPath()))
		if want := strings.Join(pieces, ""); r.outcomes[0].answer != want {
			t.Errorf("%s: got %.100q and %v, want %.100q", name, r.outcomes[0].answer, r.outcomes[0].err, want)
		}
		if r.receives > 2 {
			t.Errorf("%s: the receiver was asked %d times", name, r.receives)
		}
	}
	repeat := func(piece string) []string { return slices.Repeat([]string{piece}, 200) }
	around := func(first string, middle []string, last string) []string {
		return slices.Concat([]string{first}, middle, []string{last})
	}
	check("all-in-one", `{"a":[{}]}`)
	check("ends-with-brackets", around(`[{}`, repeat(`,{}`), `]`)...)
	check("brackets-in-strings", around(`["}`, repeat(`}`), `"]`)...)
	check("white-space-first", around(" ", repeat("\n"), `{}`)...)
	check("white-space-within", around(`{`, repeat(" "), `}`)...)
}

// TestCrumbsWakeNobody: an answer of as many writes as it has bytes is read a few hundred times, whatever it costs its sandbox.
func TestCrumbsWakeNobody(t *testing.T) {
	w := newWorld(t)
	const writes = 50_000
	s := w.start(sandboxtest.Spec{ID: "a", Behavior: func(x *sandboxtest.Exchange) error {
		for range writes {
			if err := x.Send([]byte(" ")); err != nil {
				return err
			}
		}
		return sandboxtest.Honest(x)
	}})
	before := readCalls(t)
	if got := w.ask(query(s.SocketPath())); !strings.HasPrefix(got.answer, "  ") || !honest(strings.TrimSpace(got.answer)) {
		t.Errorf("%.100q, %v", got.answer, got.err)
	}
	if calls := readCalls(t) - before; calls > writes/10 {
		t.Errorf("%d calls of read for %d writes", calls, writes)
	}
}

// readCalls is how often this process has called read and its like.
func readCalls(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "syscr: ")
	count, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.Atoi(count)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestBacklog(t *testing.T) {
	full := func(w *world) *sandboxtest.Sandbox {
		s := w.start(sandboxtest.Spec{ID: "full", Frozen: true})
		w.fillBacklog(s.SocketPath())
		return s
	}
	t.Run("full, and drained later", func(t *testing.T) {
		w := newWorld(t)
		s := full(w)
		// It is asked after the full one was, and so after that one has refused to take a connection.
		thaws := w.start(sandboxtest.Spec{ID: "thaws", Behavior: func(x *sandboxtest.Exchange) error {
			s.Thaw()
			return sandboxtest.Honest(x)
		}})
		for i, got := range w.run(query(s.SocketPath()), query(thaws.SocketPath())) {
			if !honest(got.answer) {
				t.Errorf("question %d: %q, %v", i, got.answer, got.err)
			}
		}
	})
	t.Run("full for ever", func(t *testing.T) {
		w := newWorld(t)
		q := query(full(w).SocketPath())
		q.Timeout = 50 * time.Millisecond
		if got := w.ask(q); !errors.Is(got.err, ErrStalled) {
			t.Errorf("it came to this: %q, %v", got.answer, got.err)
		}
	})
	t.Run("full until the end of all time", func(t *testing.T) {
		w := newWorld(t)
		r := w.runUntil(time.Now().Add(50*time.Millisecond), query(full(w).SocketPath()))
		if got := r.outcomes[0]; !errors.Is(got.err, ErrOutOfTime) {
			t.Errorf("it came to this: %q, %v", got.answer, got.err)
		}
	})
	t.Run("full, and closed", func(t *testing.T) {
		w := newWorld(t)
		s := full(w)
		dies := w.start(sandboxtest.Spec{ID: "dies", Behavior: func(x *sandboxtest.Exchange) error {
			s.Stop()
			return sandboxtest.Honest(x)
		}})
		got := w.run(query(s.SocketPath()), query(dies.SocketPath()))
		// It may take the connection with its last breath.
		if !errors.Is(got[0].err, ErrUnreachable) && !errors.Is(got[0].err, ErrClosed) || !honest(got[1].answer) {
			t.Errorf("it came to this: %v", got)
		}
	})
}

// fillBacklog connects to a socket until that takes no more connections.
func (w *world) fillBacklog(path string) {
	w.Helper()
	for range 1000 {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		w.must(err)
		w.Cleanup(func() { unix.Close(fd) })
		if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err == unix.EAGAIN {
			return
		} else if err != nil {
			w.Fatal(err)
		}
	}
	w.Fatal("its backlog has no end")
}

func TestDeadlines(t *testing.T) {
	const soon = 30 * time.Millisecond
	check := func(name string, timeout, all time.Duration, want error, wantConnections int) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.start(sandboxtest.Spec{ID: "a", Behavior: sandboxtest.Stall})
			q := query(s.SocketPath())
			q.Timeout = timeout
			r := w.runUntil(time.Now().Add(all), q, q)
			for i, got := range r.outcomes {
				if !errors.Is(got.err, want) {
					t.Errorf("question %d: %q, %v, want %v", i, got.answer, got.err, want)
				}
			}
			if got := s.Stats().Connections; got > wantConnections {
				t.Errorf("%d connections, want %d at most", got, wantConnections)
			}
		})
	}
	check("the sandbox's time is over first", soon, ample, ErrStalled, 2)
	check("the time for all is over first", ample, soon, ErrOutOfTime, 2)
	check("the time for all was over before", ample, -time.Second, ErrOutOfTime, 0)
}

// TestBothTimesAreOver: a sandbox that had its own whole time has stalled, whatever else is over.
func TestBothTimesAreOver(t *testing.T) {
	w := newWorld(t)
	s := w.start(sandboxtest.Spec{ID: "a", Behavior: sandboxtest.Stall})
	l, err := NewLoop()
	w.must(err)
	defer l.Close()
	r := &recorder{world: w, outcomes: make([]outcome, 1)}
	l.queries, l.receiver, l.deadline = []Query{query(s.SocketPath())}, r, time.Now().Add(ample)
	l.begin()
	now := time.Now()
	l.deadline = now
	for i := range l.slots {
		l.slots[i].end = now
	}
	l.sweep(now)
	if got := r.outcomes[0].err; !errors.Is(got, ErrStalled) {
		t.Errorf("got %v, want %v", got, ErrStalled)
	}
}

// TestOutOfTime: those not yet asked when the time is over are not asked any more.
func TestOutOfTime(t *testing.T) {
	w := newWorld(t)
	stalls := w.start(sandboxtest.Spec{ID: "stalls", Behavior: sandboxtest.Stall})
	honest := w.start(sandboxtest.Spec{ID: "honest"})
	queries := slices.Repeat([]Query{query(stalls.SocketPath())}, width)
	queries = append(queries, query(honest.SocketPath()))
	for i, got := range w.runUntil(time.Now().Add(100*time.Millisecond), queries...).outcomes {
		if !errors.Is(got.err, ErrOutOfTime) {
			t.Errorf("question %d: %q, %v", i, got.answer, got.err)
		}
	}
	if got := honest.Stats().Connections; got != 0 {
		t.Errorf("the one for which there was no slot was asked %d times", got)
	}
}

func TestMoreQuestionsThanSlots(t *testing.T) {
	w := newWorld(t)
	f := w.fleet(width+100, nil)
	for i, got := range w.run(queryAll(f.Sandboxes)...) {
		if !honest(got.answer) {
			t.Errorf("question %d: %q, %v", i, got.answer, got.err)
		}
	}
	if got := f.Stats(); got.Peak > width || got.Queries != len(f.Sandboxes) {
		t.Errorf("%d sandboxes got %d questions, %d at a time", len(f.Sandboxes), got.Queries, got.Peak)
	}
}

// TestStalledHoldNobody: as long as there is a slot left, those who answer do not wait for those who do not.
func TestStalledHoldNobody(t *testing.T) {
	w := newWorld(t)
	const stalled, honest = width - 1, 20
	f := w.fleet(stalled+honest, func(i int, s *sandboxtest.Spec) {
		if i < stalled {
			s.Behavior = sandboxtest.Stall
		}
	})
	queries := queryAll(f.Sandboxes)
	for i := range stalled {
		queries[i].Timeout = 500 * time.Millisecond
	}
	r := w.runUntil(time.Now().Add(ample), queries...)
	for place, i := range r.ended {
		if err := r.outcomes[i].err; place < honest && err != nil || place >= honest && !errors.Is(err, ErrStalled) {
			t.Errorf("in place %d question %d came to an end with %v", place, i, err)
		}
	}
}

// TestOrder: questions are asked in their order, also when there are more than slots.
func TestOrder(t *testing.T) {
	w := newWorld(t)
	listener, err := net.Listen("unix", w.path("s"))
	w.must(err)
	var asked []string // connections are accepted in the order in which they were made
	var serving sync.WaitGroup
	serving.Go(func() {
		request := make([]byte, 1<<10)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			n, _ := c.Read(request)
			asked = append(asked, string(request[:n]))
			c.Write([]byte("{}"))
			c.Close()
		}
	})
	var queries []Query
	var want []string
	for i := range 2 * width {
		q := query(w.path("s"))
		q.Request = ExportRequest(strings.Repeat("x", i))
		queries = append(queries, q)
		want = append(want, string(q.Request))
	}
	w.run(queries...)
	listener.Close()
	serving.Wait()
	if !slices.Equal(asked, want) {
		t.Errorf("asked in another order")
	}
}

// TestBytesInMemory: unfinished answers together are bounded, and the longest has to go, not one that is only slow.
func TestBytesInMemory(t *testing.T) {
	w := newWorld(t)
	const limit, long, most = 512 << 10, 400 << 10, 1 << 20
	w.loop.most = most
	evicted, answered := make(chan struct{}), make(chan struct{})
	sendsMuch := func(x *sandboxtest.Exchange) error {
		if err := x.Send([]byte("[" + strings.Repeat(" ", long))); err != nil {
			return err
		}
		await(answered)
		return io.EOF
	}
	slow := func(x *sandboxtest.Exchange) error {
		reply := x.Reply()
		if err := x.Send(reply[:100]); err != nil {
			return err
		}
		await(evicted)
		return x.Send(reply[100:])
	}
	queries := []Query{query(w.start(sandboxtest.Spec{ID: "slow", Behavior: slow}).SocketPath())}
	for _, id := range []string{"a", "b", "c", "d"} {
		q := query(w.start(sandboxtest.Spec{ID: id, Behavior: sendsMuch}).SocketPath())
		q.Limit = limit
		queries = append(queries, q)
	}
	r := &recorder{world: w, outcomes: make([]outcome, len(queries))}
	tooMuch := 0
	r.onEnd = func(i int, err error) {
		if held := w.loop.held; held > most {
			t.Errorf("%d bytes are held", held)
		}
		if i == 0 {
			close(answered)
		}
		if err == errTooMuch {
			if tooMuch++; tooMuch == 1 {
				close(evicted)
			}
		}
	}
	r.run(time.Now().Add(ample), queries)
	if got := r.outcomes[0]; !honest(got.answer) {
		t.Errorf("the slow one: %q, %v", got.answer, got.err)
	}
	// Of four answers of 400 KB at least one fits into 1 MB.
	if tooMuch == 0 || tooMuch == 4 {
		t.Errorf("%d of 4 long answers were given up: %v", tooMuch, r.outcomes)
	}
	for _, got := range r.outcomes[1:] {
		if !errors.Is(got.err, ErrClosed) && got.err != errTooMuch {
			t.Errorf("a long one: %v", got.err)
		}
	}
}

// TestBytesInMemoryAreOfThoseWhoUseThem: who sends a little more than the least cannot reserve the room that others need.
func TestBytesInMemoryAreOfThoseWhoUseThem(t *testing.T) {
	w := newWorld(t)
	const most = 2 << 20
	w.loop.most = most
	answered := make(chan struct{})
	waits := func(x *sandboxtest.Exchange) error {
		if err := x.Send([]byte("[" + strings.Repeat(" ", chunk))); err != nil {
			return err
		}
		await(answered)
		return x.Send([]byte("]"))
	}
	var queries []Query
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		queries = append(queries, query(w.start(sandboxtest.Spec{ID: id, Behavior: waits}).SocketPath()))
	}
	long := `["` + strings.Repeat("x", most/10) + `"]`
	queries = append(queries, query(w.start(sandboxtest.Spec{ID: "long", Behavior: crumbs(long[:chunk], long[chunk:])}).SocketPath()))
	r := &recorder{world: w, outcomes: make([]outcome, len(queries))}
	r.onEnd = func(i int, err error) {
		if i == len(queries)-1 {
			close(answered)
		}
	}
	r.run(time.Now().Add(ample), queries)
	for i, got := range r.outcomes {
		if got.err != nil {
			t.Errorf("question %d: %v", i, got.err)
		}
	}
}

// TestSpareBuffersMakeNobodyLarge: a large buffer that somebody left is not for a short answer.
func TestSpareBuffersMakeNobodyLarge(t *testing.T) {
	w := newWorld(t)
	w.loop.most = 3 << 19
	w.loop.spare, w.loop.held = [][]byte{make([]byte, 0, 900<<10)}, 900<<10
	w.loop.grew = true
	short, long := "["+strings.Repeat(" ", 100)+"]", "["+strings.Repeat(" ", 300<<10)+"]"
	shorts := w.start(sandboxtest.Spec{ID: "short", Behavior: func(x *sandboxtest.Exchange) error {
		if err := x.Send([]byte(short[:10])); err != nil {
			return err
		}
		return errors.Join(x.Wait(200*time.Millisecond), x.Send([]byte(short[10:])))
	}})
	longs := w.start(sandboxtest.Spec{ID: "long", Behavior: sandboxtest.Say(long)})
	for i, got := range w.run(query(shorts.SocketPath()), query(longs.SocketPath())) {
		if got.err != nil {
			t.Errorf("question %d: %v", i, got.err)
		}
	}
}

// TestBuffersAreReused from run to run, until one needs none.
func TestBuffersAreReused(t *testing.T) {
	w := newWorld(t)
	long := w.start(sandboxtest.Spec{ID: "long", Behavior: sandboxtest.Flood(`["`, "a", 300<<10, `"]`)})
	short := w.start(sandboxtest.Spec{ID: "short"})
	ask := func(s *sandboxtest.Sandbox) {
		t.Helper()
		if got := w.ask(query(s.SocketPath())); got.err != nil {
			t.Error(got.err)
		}
	}
	ask(long)
	held := w.loop.held
	if held == 0 || len(w.loop.spare) == 0 {
		t.Errorf("%d bytes in %d buffers are kept", held, len(w.loop.spare))
	}
	ask(long)
	if w.loop.held != held {
		t.Errorf("the same once more takes %d bytes more", w.loop.held-held)
	}
	ask(short)
	if w.loop.held != 0 || w.loop.spare != nil {
		t.Errorf("%d bytes in %d buffers are still kept", w.loop.held, len(w.loop.spare))
	}
}

// await waits for what should happen soon.
func await(happened <-chan struct{}) {
	select {
	case <-happened:
	case <-time.After(ample):
	}
}

// panicker panics at the first answer.
type panicker struct{ *recorder }

func (p panicker) Receive(int, Reply) bool { panic("a defect of ours") }

// TestReceiverPanics: nothing of a run that ended so is taken for the next one's.
func TestReceiverPanics(t *testing.T) {
	w := newWorld(t)
	stalls := w.start(sandboxtest.Spec{ID: "stalls", Behavior: sandboxtest.Stall})
	fine := w.start(sandboxtest.Spec{ID: "fine"})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		w.loop.Run([]Query{query(stalls.SocketPath()), query(fine.SocketPath())}, time.Now().Add(ample), panicker{})
	}()
	if n := w.loop.inFlight(); n != 0 {
		t.Errorf("%d questions are in flight", n)
	}
	if got := w.ask(query(fine.SocketPath())); !honest(got.answer) {
		t.Errorf("the next run: %q, %v", got.answer, got.err)
	}
}

// TestNoDescriptors: a server that has no descriptors left blames itself, and waits if there is something to wait for.
func TestNoDescriptors(t *testing.T) {
	w := newWorld(t)
	s := w.start(sandboxtest.Spec{ID: "a"})
	q := query(s.SocketPath())
	w.useUpDescriptors()
	if got := w.ask(q); !errors.Is(got.err, ErrInternal) || !errors.Is(got.err, unix.EMFILE) {
		t.Errorf("it came to this: %q, %v", got.answer, got.err)
	}
}

// useUpDescriptors leaves the process no descriptors until the test ends.
func (w *world) useUpDescriptors() {
	w.Helper()
	var limit unix.Rlimit
	w.must(unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	w.Cleanup(func() { w.must(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)) })
	w.must(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: limit.Max}))
}
