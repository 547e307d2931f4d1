package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/share"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// bubble is a handler in a synctest bubble with a fake clock. Each collection takes one second, and
// the page has the number of its collection.
type bubble struct {
	*testing.T
	handler     *Handler
	log         testkit.Buffer
	collections int
	stuck       chan struct{} // collections do not end until it is closed; nil: they do
}

func inBubble(t *testing.T, test func(b *bubble), changes ...func(*Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{T: t}
		o := Options{
			Collect: b.collect, MaxPerSecond: 20, Counters: new(Counters),
			Pages:  page.NewBuilder(page.Options{Prefix: "runsc_", Naming: page.RunscNaming, Timestamps: true}),
			Logger: slog.New(slog.NewTextHandler(&b.log, nil)),
		}
		for _, change := range changes {
			change(&o)
		}
		b.handler = NewHandler(o)
		test(b)
		b.handler.Close()
	})
}

func (b *bubble) collect(plan collect.Plan) (*snapshot.Snapshot, error) {
	b.collections++
	began := time.Now()
	time.Sleep(min(time.Second, time.Until(plan.Deadline)))
	if b.stuck != nil {
		<-b.stuck
	}
	return &snapshot.Snapshot{Began: began, Server: snapshot.Server{Sandboxes: snapshot.Census{Served: b.collections}}}, nil
}

// do serves one request without a connection.
func (b *bubble) do(r *http.Request) *httptest.ResponseRecorder {
	response := httptest.NewRecorder()
	b.handler.ServeHTTP(response, r)
	return response
}

// client is a scrape that waits for its response.
type client struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when the response is complete
	status int
	body   string
	at     time.Time
}

// scrape starts a scrape in the background.
func (b *bubble) scrape(path string, headers ...string) *client {
	ctx, cancel := context.WithCancel(context.Background())
	b.Cleanup(cancel)
	c := &client{cancel: cancel, done: make(chan struct{})}
	r := httptest.NewRequest(http.MethodGet, path, nil).WithContext(ctx)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	go func() {
		defer close(c.done)
		response := b.do(r)
		c.status, c.body, c.at = response.Code, response.Body.String(), time.Now()
	}()
	synctest.Wait()
	return c
}

var total = regexp.MustCompile(`(?m)^runsc_meta_num_sandboxes_total (\d+) `)

// expectPage checks the collection of a client's page.
func (b *bubble) expectPage(c *client, collection int) {
	b.Helper()
	<-c.done
	found := total.FindStringSubmatch(c.body)
	if c.status != http.StatusOK || found == nil || found[1] != fmt.Sprint(collection) {
		b.Errorf("got %d %q, want collection %d", c.status, c.body, collection)
	}
}

// expectRefused checks that a client gets an error with this body, and how long after start.
func (b *bubble) expectRefused(c *client, body string, start time.Time, after time.Duration) {
	b.Helper()
	<-c.done
	if c.status != http.StatusServiceUnavailable || c.body != body+"\n" || c.at.Sub(start) != after {
		b.Errorf("got %d %q after %v, want %d %q after %v", c.status, c.body, c.at.Sub(start), http.StatusServiceUnavailable, body, after)
	}
}

// TestNoTimeLeft checks that a scrape is refused at its deadline if no collection has begun by
// then.
func TestNoTimeLeft(t *testing.T) {
	inBubble(t, func(b *bubble) {
		start := time.Now()
		first := b.scrape("/metrics")
		short := b.scrape("/metrics", "X-Prometheus-Scrape-Timeout-Seconds: 0.6")
		long := b.scrape("/metrics")
		b.expectRefused(short, "no time left after other scrapes; try again", start, 300*time.Millisecond)
		b.expectPage(first, 1)
		b.expectPage(long, 2)
	})
}

// TestClientGoesAway checks that a client that closes its side of the connection, and may still
// wait for the response, gets its page if the collection begins soon.
func TestClientGoesAway(t *testing.T) {
	inBubble(t, func(b *bubble) {
		start := time.Now()
		first := b.scrape("/metrics")
		first.cancel()
		goes, stays := b.scrape("/metrics"), b.scrape("/metrics")
		goes.cancel()
		time.Sleep(950 * time.Millisecond)
		soon := b.scrape("/metrics")
		soon.cancel()
		b.expectRefused(goes, "the connection was closed while the request waited for other scrapes", start, 100*time.Millisecond)
		b.expectPage(first, 1)
		b.expectPage(stays, 2)
		b.expectPage(soon, 2)
	})
}

// TestStuckCollection checks that a server whose collection does not end is not ready.
func TestStuckCollection(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.handler.options.Ready = func() error { return nil }
		b.stuck = make(chan struct{})
		<-b.scrape("/metrics").done
		ready := b.scrape("/-/ready")
		if <-ready.done; ready.status != http.StatusOK {
			t.Errorf("got %d %q", ready.status, ready.body)
		}
		time.Sleep(time.Nanosecond)
		b.expectRefused(b.scrape("/-/ready"), "a collection has not ended, long after its deadline", time.Now(), 0)
		close(b.stuck)
	})
}

// A pacedWriter takes a piece of a page in a time.
type pacedWriter struct {
	*httptest.ResponseRecorder
	pause time.Duration
}

func (w pacedWriter) Write(p []byte) (int, error) {
	time.Sleep(w.pause)
	return len(p), nil
}

// TestPacedReader checks that a client that takes its page steadily is not cut off, however long that takes.
func TestPacedReader(t *testing.T) {
	check := func(pause time.Duration, cutOff int64) {
		t.Helper()
		inBubble(t, func(b *bubble) {
			lease, err := b.handler.shared.Page(b.Context(), new(snapshot.Snapshot), "x", func() func(share.Buffer) []byte {
				return func(share.Buffer) []byte { return make([]byte, 40*sendPiece) }
			})
			if err != nil {
				t.Fatal(err)
			}
			b.handler.send(pacedWriter{httptest.NewRecorder(), pause}, lease)
			synctest.Wait()
			if got := b.handler.options.Counters.ResponsesCutOff.Load(); got != cutOff {
				t.Errorf("%v per piece: %d responses are cut off, want %d", pause, got, cutOff)
			}
			lease.Release()
		})
	}
	check(700*time.Millisecond, 0)
	check(1100*time.Millisecond, 1)
}

// TestCloseWaits checks that Close waits for running requests and collections.
func TestCloseWaits(t *testing.T) {
	closeWaits := func(want time.Duration, begin func(b *bubble) *client) {
		t.Helper()
		inBubble(t, func(b *bubble) {
			start := time.Now()
			waiting := begin(b)
			b.handler.Close()
			if took := time.Since(start); took != want {
				t.Errorf("it closed after %v, want %v", took, want)
			}
			b.expectPage(waiting, int(want.Seconds()))
			b.expectRefused(b.scrape("/"), "server is shutting down", start, want)
		})
	}
	closeWaits(2*time.Second, func(b *bubble) *client {
		b.scrape("/metrics")
		return b.scrape("/metrics")
	})
	closeWaits(time.Second, func(b *bubble) *client {
		gone := b.scrape("/metrics")
		gone.cancel()
		return gone
	})
}

// TestSlowReader checks that a client that does not read its page is cut off and that this is
// logged.
func TestSlowReader(t *testing.T) {
	w := newWorld(t, nil)
	// The page is too large for any socket buffer.
	fleet, err := simulate.StartFleet(w.root, 100, simulate.FleetOptions{})
	w.must(err)
	t.Cleanup(func() { fleet.Remove() })
	_, addr := w.serve()
	slow, err := net.Dial(addr.Network(), addr.String())
	w.must(err)
	defer slow.Close()
	_, err = slow.Write([]byte("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"))
	w.must(err)
	testkit.Until(w, "it is cut off", func() bool { return strings.Contains(w.log.String(), "it reads its page too slowly") })
	response, err := http.ReadResponse(bufio.NewReader(slow), nil)
	if err != nil {
		return
	}
	defer response.Body.Close()
	if n, err := io.Copy(io.Discard, response.Body); err == nil {
		t.Errorf("it got a whole page of %d bytes", n)
	}
}
