package control

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// TestReplies has a case for each way to send a reply.
func TestReplies(t *testing.T) {
	const soon = 50 * time.Millisecond
	check := func(name string, b simulate.Behavior, timeout time.Duration, wanted func(*probe) bool) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			q := newProbe(w.start(simulate.Spec{ID: "a", Behavior: b}).SocketPath())
			q.timeout = timeout
			if w.ask(q); !wanted(q) {
				t.Errorf("got %.300q, %v after %v", q.reply, q.failure, q.took)
			}
		})
	}
	replies := func(name string, b simulate.Behavior) {
		check(name, b, ample, func(q *probe) bool { return q.honest() })
	}
	says := func(text string) {
		check("says "+text, simulate.Say(text), ample, func(q *probe) bool { return q.reply == text })
	}
	fails := func(name string, b simulate.Behavior, want failure.Reason) {
		check(name, b, ample, func(q *probe) bool { return q.failed(want) })
	}
	stalls := func(name string, b simulate.Behavior) {
		check(name, b, soon, func(q *probe) bool { return q.failed(failure.Stalled) && q.took >= soon })
	}
	around := func(before, after string) simulate.Behavior {
		return simulate.Edit(func(_ *simulate.Exchange, reply string) string { return before + reply + after })
	}

	replies("in one piece", simulate.Honest)
	replies("in pieces of 100 bytes", simulate.Drip(100, time.Millisecond))
	replies("in fragments of one byte", simulate.Drip(1, 0))
	if name := "with 120 descriptors on each byte"; refusing() {
		replies(name+", which the kernel refuses", simulate.Descriptors(120))
	} else {
		fails(name, simulate.Descriptors(120), failure.ReplyRefused)
	}
	check("late, and in time", simulate.Late(soon), ample, func(q *probe) bool { return q.honest() && q.took >= soon })
	replies("with white space around it", around(" \r\n\t", "\n"))

	// A value that is not a reply is handed to the query at once, which refuses it.
	says("null")
	says("42")
	says("{}")

	stalls("never", simulate.Stall)
	stalls("not to the end", func(x *simulate.Exchange) error {
		if err := x.Send(x.Reply()[:100]); err != nil {
			return err
		}
		return x.Stall()
	})
	stalls("too slowly", simulate.Drip(1, soon/5))
	stalls("nothing but white space", fragments(" ", "\n"))
	fails("half, and hangs up", simulate.HangUp(0.5), failure.Closed)
	fails("with points without end", simulate.Flood("[0", ",0", 0, ""), failure.TooLong)
	fails("with closing brackets inside without end", simulate.Flood("[{}", ",{}", 0, ""), failure.TooLong)
}

func TestLimit(t *testing.T) {
	w := newWorld(t)
	const text = `{"one":"reply of 27 bytes"}`
	check := func(name string, b simulate.Behavior) {
		s := w.start(simulate.Spec{ID: strings.ReplaceAll(name, " ", "-"), Behavior: b})
		q := newProbe(s.SocketPath())
		q.limit = len(text)
		if w.ask(q); q.reply != text {
			t.Errorf("%s, exactly at the limit: %q, %v", name, q.reply, q.failure)
		}
		q.limit--
		w.ask(q)
		if !q.failed(failure.TooLong) || q.failure.Error() != "the reply is longer than 26 bytes" {
			t.Errorf("%s, one over the limit: %q, %v", name, q.reply, q.failure)
		}
	}
	check("in one piece", simulate.Say(text))
	check("in two pieces", fragments(text[:20], text[20:]))
	check("in fragments", fragments(bytesOf(text)...))
}

// TestFragmentsCostNoMore: a reply is parsed at most twice, in any fragments.
func TestFragmentsCostNoMore(t *testing.T) {
	w := newWorld(t)
	check := func(name string, pieces ...string) {
		t.Helper()
		q := newProbe(w.start(simulate.Spec{ID: name, Behavior: fragments(pieces...)}).SocketPath())
		if want := strings.Join(pieces, ""); w.ask(q).reply != want {
			t.Errorf("%s: got %.100q and %v, want %.100q", name, q.reply, q.failure, want)
		}
		if q.reads > 2 {
			t.Errorf("%s: Read was called %d times", name, q.reads)
		}
	}
	repeat := func(piece string) []string { return slices.Repeat([]string{piece}, 2*freeReads) }
	around := func(first string, middle []string, last string) []string {
		return slices.Concat([]string{first}, middle, []string{last})
	}
	check("all-in-one", `{"a":[{}]}`)
	check("ends-with-brackets", around(`[{}`, repeat(`,{}`), `]`)...)
	check("brackets-in-strings", around(`["}`, repeat(`}`), `"]`)...)
	check("white-space-first", around(" ", repeat("\n"), `{}`)...)
	check("white-space-within", around(`{`, repeat(" "), `}`)...)
}

// TestFragmentsAreThrottled: a reply that is sent byte by byte takes far fewer reads than it has
// bytes.
func TestFragmentsAreThrottled(t *testing.T) {
	w := newWorld(t)
	const writes = 50_000
	s := w.start(simulate.Spec{ID: "a", Behavior: func(x *simulate.Exchange) error {
		for range writes {
			if err := x.Send([]byte(" ")); err != nil {
				return err
			}
		}
		return simulate.Honest(x)
	}})
	before := readCalls(t)
	if q := w.ask(newProbe(s.SocketPath())); !strings.HasPrefix(q.reply, "  ") || !q.honest() {
		t.Errorf("%.100q, %v", q.reply, q.failure)
	}
	if calls := readCalls(t) - before; calls > writes/4 {
		t.Errorf("%d calls of read for %d writes", calls, writes)
	}
}

// readCalls returns how often this process has called read and similar system calls.
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
