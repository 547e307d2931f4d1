package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/sandboxtest"
)

// A gated sandbox answers an Export only when it is let, so that a collection lasts as long as a test wants. Its fs_opens says how many
// collections there have been.
type gated struct {
	*sandboxtest.Sandbox
	asked  chan int      // the number of each Export, when it is asked
	answer chan struct{} // something in it lets one answer go; closed: all
}

func (w *world) startGated() *gated {
	w.Helper()
	g := &gated{asked: make(chan int, 1000), answer: make(chan struct{})}
	g.Sandbox = w.start(sandboxtest.Spec{
		ID: "gated", Points: []sandboxtest.Point{{Metric: "fs_opens", Int: 0}}, Growth: 1,
		Behavior: func(x *sandboxtest.Exchange) error {
			g.asked <- x.N
			select {
			case <-g.answer:
			case <-time.After(ample):
			}
			return sandboxtest.Honest(x)
		},
	})
	return g
}

var fsOpens = regexp.MustCompile(`(?m)^runsc_fs_opens\{.*\} (\d+) \d+$`)

// collection returns the number of the collection whose page it is; a page without has none.
func collection(page string) string {
	found := fsOpens.FindStringSubmatch(page)
	if found == nil {
		return "none"
	}
	return found[1]
}

// client is one scrape that somebody waits for.
type client struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when it has an answer
	status int
	page   string
}

// scrape scrapes in the background.
func (w *world) scrape(path string, headers ...string) *client {
	ctx, cancel := context.WithCancel(context.Background())
	w.Cleanup(cancel)
	c := &client{cancel: cancel, done: make(chan struct{})}
	r := httpRequest(w.T, http.MethodGet, path).WithContext(ctx)
	r.RequestURI = path
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	go func() {
		defer close(c.done)
		response := w.do(r)
		c.status, c.page = response.Code, response.Body.String()
	}()
	return c
}

// await waits for a client's answer.
func (w *world) await(c *client) {
	w.Helper()
	select {
	case <-c.done:
	case <-time.After(ample):
		w.Fatal("a client waits in vain")
	}
}

// awaitPages waits for pages, and checks of which collection they are.
func (w *world) awaitPages(want int, clients ...*client) {
	w.Helper()
	for i, c := range clients {
		w.await(c)
		if got := collection(c.page); c.status != http.StatusOK || got != fmt.Sprint(want) {
			w.Errorf("client %d of %d: %d, the page is of collection %q, want %d", i, len(clients), c.status, got, want)
		}
	}
}

// waiting returns how many wait for scrapes that have not begun.
func (w *world) waiting() int {
	s := w.handler.scrapes
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, sc := range s.waiting {
		n += len(sc.deadlines)
	}
	return n
}

func (w *world) waitingScrapes() int {
	s := w.handler.scrapes
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting)
}

// occupy begins a collection that lasts until the gate opens.
func (w *world) occupy(g *gated) *client {
	w.Helper()
	first := w.scrape("/metrics")
	<-g.asked
	return first
}

// untilWaiting waits until so many wait for scrapes that have not begun.
func (w *world) untilWaiting(n int) {
	w.Helper()
	w.until(fmt.Sprintf("%d are waiting", n), func() bool { return w.waiting() == n })
}

// TestShare: those who ask the same while a collection runs share the next one, and never get the running one.
func TestShare(t *testing.T) {
	w := newWorld(t, nil)
	g := w.startGated()
	first := w.occupy(g)
	var others []*client
	for range 20 {
		others = append(others, w.scrape("/metrics"))
	}
	w.untilWaiting(20)
	g.answer <- struct{}{}
	w.awaitPages(1, first)
	if n := <-g.asked; n != 2 {
		t.Errorf("question number %d", n)
	}
	late := w.scrape("/metrics") // the second collection runs already
	w.untilWaiting(1)
	g.answer <- struct{}{}
	w.awaitPages(2, others...)
	g.answer <- struct{}{}
	w.awaitPages(3, late)
	for _, c := range others {
		if c.page != others[0].page {
			t.Error("those who share got different pages")
		}
	}
	if got := g.Stats().Queries; got != 3 {
		t.Errorf("%d collections, want 3", got)
	}
}

// TestDoNotShare: who asks something else gets his own.
func TestDoNotShare(t *testing.T) {
	w := newWorld(t, nil)
	g := w.startGated()
	first := w.occupy(g)
	paths := []string{
		"/metrics",
		"/metrics?runsc-sandbox-metrics-filter=fs_opens",
		"/metrics?runsc-sandbox-metrics-filter=fs_.*",
		"/metrics?runsc-capability-filter=fs_.*",
		"/metrics?runsc-capability-filter=KILL&runsc-sandbox-metrics-filter=fs_.*",
	}
	var all, same []*client
	for _, path := range paths {
		all = append(all, w.scrape(path))
		same = append(same, w.scrape(strings.Replace(path, "?", "%3F", 1))) // the same in other words
	}
	w.untilWaiting(2 * len(paths))
	hurried := w.scrape("/metrics", "X-Prometheus-Scrape-Timeout-Seconds: 1.4")
	w.untilWaiting(2*len(paths) + 1)
	if got, want := w.waitingScrapes(), len(paths)+1; got != want {
		t.Errorf("%d scrapes are waiting, want %d", got, want)
	}
	hurried.cancel()
	close(g.answer)
	w.awaitPages(1, first)
	var collections []string
	for i := range all {
		w.await(all[i])
		w.await(same[i])
		if all[i].page != same[i].page {
			t.Errorf("%s in two forms makes two pages", paths[i])
		}
		collections = append(collections, collection(all[i].page))
	}
	if slices.Sort(collections); len(slices.Compact(collections)) != len(paths) {
		t.Errorf("collections are shared: %q", collections)
	}
}

// TestClientGoesAway: that cancels nothing for others.
func TestClientGoesAway(t *testing.T) {
	t.Run("while it waits", func(t *testing.T) {
		w := newWorld(t, nil)
		g := w.startGated()
		first := w.occupy(g)
		maker := w.scrape("/metrics")
		w.untilWaiting(1)
		joiner, other := w.scrape("/metrics"), w.scrape("/metrics")
		w.untilWaiting(3)
		maker.cancel()
		other.cancel()
		w.untilWaiting(1)
		close(g.answer)
		w.awaitPages(1, first)
		w.awaitPages(2, joiner)
	})
	t.Run("while its scrape runs", func(t *testing.T) {
		w := newWorld(t, nil)
		g := w.startGated()
		first := w.occupy(g)
		goes, stays := w.scrape("/metrics"), w.scrape("/metrics")
		w.untilWaiting(2)
		first.cancel()
		g.answer <- struct{}{}
		w.awaitPages(1, first) // it may have closed only its own side
		<-g.asked
		goes.cancel()
		close(g.answer)
		w.awaitPages(2, goes, stays)
	})
	t.Run("and nobody is left while it runs", func(t *testing.T) {
		w := newWorld(t, nil)
		g := w.startGated()
		first := w.occupy(g)
		first.cancel()
		next := w.scrape("/metrics")
		w.untilWaiting(1)
		close(g.answer)
		w.awaitPages(1, first)
		w.awaitPages(2, next)
	})
	t.Run("and nobody is left before it runs", func(t *testing.T) {
		w := newWorld(t, nil)
		g := w.startGated()
		first := w.occupy(g)
		alone, with := w.scrape("/metrics"), w.scrape("/metrics")
		w.untilWaiting(2)
		abandoned := w.theWaiting()
		alone.cancel()
		with.cancel()
		<-abandoned.done
		if w.waiting() != 0 {
			t.Error("it is waiting still")
		}
		for _, c := range []*client{alone, with} {
			w.await(c)
			if want := "the connection was closed before other scrapes left this one room\n"; c.status != http.StatusServiceUnavailable || c.page != want {
				t.Errorf("a client that has gone is answered %d %q", c.status, c.page)
			}
		}
		close(g.answer)
		w.awaitPages(1, first)
		w.awaitPages(2, w.scrape("/metrics"))
		if got := g.Stats().Queries; got != 2 {
			t.Errorf("%d collections, want 2", got)
		}
	})
}

// theWaiting returns the scrape that has not begun.
func (w *world) theWaiting() *scrape {
	s := w.handler.scrapes
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sc := range s.waiting {
		return sc
	}
	w.Fatal("nothing is waiting")
	return nil
}

// TestNoTimeLeft: one whose time is over before his turn comes is told so, then, and those who wait with him are none the worse.
func TestNoTimeLeft(t *testing.T) {
	w := newWorld(t, nil)
	g := w.startGated()
	first := w.occupy(g)
	long := w.scrape("/metrics")
	w.untilWaiting(1)
	hurried := w.scrape("/metrics", "X-Prometheus-Scrape-Timeout-Seconds: 0.1")
	short := w.scrape("/metrics", "X-Prometheus-Scrape-Timeout-Seconds: 1.51") // it waits with the long one
	for _, c := range []*client{hurried, short} {
		w.await(c)
		if want := "other scrapes left this one no time, try again\n"; c.status != http.StatusServiceUnavailable || c.page != want {
			t.Errorf("got %d %q, want %d %q", c.status, c.page, http.StatusServiceUnavailable, want)
		}
	}
	close(g.answer)
	w.awaitPages(1, first)
	w.awaitPages(2, long)
}

func TestCommonDeadline(t *testing.T) {
	now := time.Now()
	check := func(want time.Duration, left ...time.Duration) {
		t.Helper()
		for range left {
			left = append(left[1:], left[0]) // the order of coming does not matter
			var deadlines []time.Time
			for _, d := range left {
				deadlines = append(deadlines, now.Add(d))
			}
			if got := commonDeadline(deadlines, now).Sub(now); got != want {
				t.Errorf("of those who have %v it is %v, want %v", left, got, want)
			}
		}
	}
	const ms, s = time.Millisecond, time.Second
	check(9*s, 9*s)
	check(5*s, 9*s, 5*s)
	check(2*s, 9*s, 5*s, 2*s)
	check(1*s, 9*s, 1*s)
	check(300*ms, 300*ms)
	check(400*ms, 500*ms, 400*ms)
	check(-1*s, -1*s)

	// One who came long ago does not make the others' page a poor one.
	check(9*s, 9*s, 999*ms)
	check(5*s, 9*s, 5*s, 10*ms)
	check(900*ms, 900*ms, 10*ms)
	check(500*ms, 900*ms, 10*ms, 500*ms)
	check(9*s, 9*s, -1*s)
}

// TestPagesAreNotReusedWhileRead: the bytes of a page stay as they are until the last of its readers has left it.
func TestPagesAreNotReusedWhileRead(t *testing.T) {
	w := newWorld(t, nil)
	w.start(sandboxtest.Spec{ID: "a", Growth: 1})
	s := w.handler.scrapes
	request := func() collect.Request { return collect.Request{Deadline: time.Now().Add(ample)} }
	type reader struct {
		sc       *scrape
		deadline time.Time
	}
	get := func() reader {
		r := request()
		sc, err := s.get(context.Background(), r)
		w.must(err)
		return reader{sc, r.Deadline}
	}
	for range 10 {
		var mu sync.Mutex
		var readers []reader
		var gets sync.WaitGroup
		for range 4 {
			gets.Go(func() {
				r := get()
				mu.Lock()
				defer mu.Unlock()
				readers = append(readers, r)
			})
		}
		gets.Wait()
		for len(readers) > 0 {
			last := readers[0]
			before := string(last.sc.body)
			for _, r := range readers[1:] {
				if r.sc == last.sc {
					s.leave(r.sc, r.deadline)
				}
			}
			readers = slices.DeleteFunc(readers, func(r reader) bool { return r.sc == last.sc })
			for range 2 {
				other := get() // it is given what buffers are free
				s.leave(other.sc, other.deadline)
			}
			if string(last.sc.body) != before {
				t.Error("a page changed while it was read")
			}
			s.leave(last.sc, last.deadline)
		}
	}
	if len(s.held) != 0 || s.bytes != 0 {
		t.Errorf("%d pages of %d bytes are held", len(s.held), s.bytes)
	}
}

// TestSlowReaders: one that keeps pages from being freed is cut off when there are too many of them, and nobody else is.
func TestSlowReaders(t *testing.T) {
	w := newWorld(t, nil)
	fleet, err := sandboxtest.StartFleet(w.root, 100, sandboxtest.FleetOptions{}) // a page that no socket's buffer holds
	w.must(err)
	t.Cleanup(func() { fleet.Remove() })
	client, addr := w.serve()
	s := w.handler.scrapes
	held := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.held)
	}
	var slow []net.Conn
	for i := range 2 {
		c, err := net.Dial(addr.Network(), addr.String())
		w.must(err)
		t.Cleanup(func() { c.Close() })
		_, err = io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
		w.must(err)
		slow = append(slow, c)
		w.until("its page is held", func() bool { return held() == i+1 })
	}
	if _, page := w.fetch(client, httpRequest(t, http.MethodGet, "/metrics")); len(families(page)) == 0 {
		t.Errorf("the page is\n%s", page)
	}
	if held() != 2 {
		t.Errorf("%d pages are held, want 2", held())
	}
	s.mu.Lock()
	s.most = cap(s.held[1].body) * 5 / 2 // two such pages, not three
	s.mu.Unlock()
	w.fetch(client, httpRequest(t, http.MethodGet, "/metrics"))
	w.until("the oldest page is freed", func() bool { return held() == 1 })
	if n, err := readAll(slow[0]); err == nil {
		t.Errorf("the oldest reader got a whole page of %d bytes", n)
	}
	if _, err := readAll(slow[1]); err != nil {
		t.Errorf("the other slow reader: %v", err)
	}
}

// readAll reads a response, and returns an error when it is not whole.
func readAll(c net.Conn) (int, error) {
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	return int(n), err
}

// TestCloseWaits for the requests and the collections that are under way.
func TestCloseWaits(t *testing.T) {
	closeWaits := func(name string, begin func(w *world) (end func())) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			end := begin(w)
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				w.handler.Close()
			}()
			w.until("no more requests are let in", func() bool { return w.get("/").Code == http.StatusServiceUnavailable })
			select {
			case <-closed:
				t.Error("it did not wait")
			case <-time.After(10 * time.Millisecond):
			}
			end()
			select {
			case <-closed:
			case <-time.After(ample):
				t.Error("it does not close")
			}
		})
	}
	closeWaits("for a scrape", func(w *world) func() {
		g := w.startGated()
		first := w.occupy(g)
		waits := w.scrape("/metrics")
		w.untilWaiting(1)
		return func() {
			close(g.answer)
			w.awaitPages(1, first)
			w.awaitPages(2, waits)
		}
	})
	closeWaits("for a collection whose client has gone", func(w *world) func() {
		g := w.startGated()
		first := w.occupy(g)
		first.cancel()
		return func() { close(g.answer) }
	})
	closeWaits("for any other request", func(w *world) func() {
		serving, end := make(chan struct{}), make(chan struct{})
		w.handler.handle("/takes-long", func(http.ResponseWriter, *http.Request) error {
			close(serving)
			<-end
			return nil
		})
		w.scrape("/takes-long")
		<-serving
		return func() { close(end) }
	})
}

// TestManyClients: whatever they ask and however they behave, nobody misses anything, nobody gets what is older than his request, and
// nothing is left.
func TestManyClients(t *testing.T) {
	w := newWorld(t, nil)
	s := w.start(sandboxtest.Spec{ID: "a", Points: []sandboxtest.Point{{Metric: "fs_opens", Int: 1}}})
	paths := []string{"/metrics", "/metrics?runsc-sandbox-metrics-filter=fs_opens", "/metrics?runsc-capability-filter=NET"}
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for n := range 30 {
				if (i+n)%5 == 0 {
					c := w.scrape(paths[n%len(paths)])
					c.cancel()
					w.await(c)
					continue
				}
				if err := s.Add("fs_opens", nil, 1); err != nil {
					t.Error(err)
				}
				atLeast := time.Now().Truncate(time.Millisecond)
				page := w.page(paths[(i+n)%len(paths)])
				if got := whenOpens(page); got.Before(atLeast) {
					t.Errorf("at %v client %d got what is of %v:\n%s", atLeast, i, got, page)
				}
			}
		})
	}
	clients.Wait()
}

// whenOpens returns the time of the sample of fs_opens; the zero time when it is not there.
func whenOpens(page string) time.Time {
	var when int64
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "runsc_fs_opens{") {
			if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' '):], &when); err != nil {
				return time.Time{}
			}
		}
	}
	if when == 0 {
		return time.Time{}
	}
	return time.UnixMilli(when)
}
