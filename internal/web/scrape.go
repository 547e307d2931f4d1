package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/expo"
	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/share"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// headerTimeout is how long the scraper waits.
const headerTimeout = "X-Prometheus-Scrape-Timeout-Seconds"

// leavingGrace is how long a request waits for its collection to begin after the client has closed its side of the connection. The client may be
// gone, or have sent all that it has to send and be waiting for the response: net/http takes the one for the other.
const leavingGrace = 100 * time.Millisecond

// scrape serves a page, and returns how many bytes of it were sent.
func (h *Handler) scrape(w http.ResponseWriter, r *http.Request, query url.Values) (sent int, err error) {
	deadline := time.Now().Add(timeLimit(r.Header.Get(headerTimeout)))
	want, err := h.parseSelection(query)
	if err != nil {
		return 0, err
	}
	snap, err := h.snapshot(r.Context(), deadline, h.options.MaxAge)
	if err != nil {
		return 0, err
	}
	format, contentType := expo.Negotiate(r.Header.Values("Accept"), h.options.Formats)
	encoding := expo.NegotiateEncoding(r.Header.Values("Accept-Encoding"))
	lease, err := h.page(context.WithoutCancel(r.Context()), snap, rendering{format, want}, encoding)
	if err != nil {
		return 0, err
	}
	defer lease.Release()
	w.Header().Set("Content-Type", contentType)
	if encoding != nil {
		w.Header().Set("Content-Encoding", encoding.Name())
	}
	w.Header().Set("Vary", "Accept, Accept-Encoding")
	return h.send(w, lease), nil
}

// page returns a lease of a page of the snapshot, which is compressed unless encoding is nil.
func (h *Handler) page(ctx context.Context, snap *snapshot.Snapshot, as rendering, encoding expo.Encoding) (*share.Lease, error) {
	prepare := func() func(share.Buffer) []byte {
		p := h.options.Pages.Build(snap, as.want) // which may wait for other costly filters
		return func(buffer share.Buffer) []byte { return as.format.Append(buffer(p.TextSize()), p) }
	}
	if encoding == nil {
		return h.shared.Page(ctx, snap, as, prepare)
	}
	return h.shared.EncodedPage(ctx, snap, as, prepare, encoding)
}

// logScrape logs a scrape that ended with err, for debugging.
func (h *Handler) logScrape(r *http.Request, query url.Values, sent int, err error, took time.Duration) {
	attrs := []any{"client", clientOf(r), "filter", shorten(query.Get(paramFilter))}
	if text := query.Get(paramCapabilities); text != "" {
		attrs = append(attrs, "capability_filter", shorten(text))
	}
	status, _ := statusOf(err)
	h.options.Logger.Debug("Scrape", append(attrs, "status", status, "bytes", sent, "took", took.Round(time.Microsecond).String())...)
}

// A rendering is what requests have to have in common to share a page. Selections of the same texts have the same filters.
type rendering struct {
	format expo.Format
	want   page.Selection
}

// snapshot returns a snapshot for a request.
func (h *Handler) snapshot(ctx context.Context, deadline time.Time, maxAge time.Duration) (*snapshot.Snapshot, error) {
	waiting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(leavingGrace, cancel) })()
	snap, err := h.shared.Snapshot(waiting, deadline, maxAge)
	if lost, ok := errors.AsType[*collect.RootError](err); ok {
		h.options.RootLost(lost)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return nil, refuse(http.StatusServiceUnavailable, "the connection was closed while the request waited for other scrapes")
	case errors.Is(err, share.ErrNoTime):
		return nil, refuse(http.StatusServiceUnavailable, "no time left after other scrapes; try again")
	}
	return snap, err
}

// sendPiece is how much of a page is written at a time: between two pieces it is seen how fast the client reads.
const sendPiece = 256 << 10

// send sends a page, and returns how many bytes the client or the kernel took. A client that is too slow for the page to be kept is cut off.
func (h *Handler) send(w http.ResponseWriter, lease *share.Lease) (sent int) {
	body := lease.Body()
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	defer context.AfterFunc(lease.Context(), func() {
		h.slowReaders.Do(func() {
			h.options.Logger.Warn("Client cut off because it reads its page too slowly; logged at most once per minute")
		})
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now())
	})()
	for len(body) > 0 {
		piece := body[:min(len(body), sendPiece)]
		n, err := w.Write(piece)
		sent += n
		if err != nil {
			break // the client has gone, or was cut off
		}
		lease.Sent(n)
		body = body[n:]
	}
	return sent
}

// Times that a scrape may take. A scraper that says how long it waits gets its page before that.
const (
	defaultLimit = 9 * time.Second
	maxTimeout   = 60 // seconds; a longer one counts as not given
	margin       = 500 * time.Millisecond
)

// timeLimit is how long a collection may take for a scraper that waits for as many seconds as the header says.
func timeLimit(header string) time.Duration {
	seconds, err := strconv.ParseFloat(header, 64)
	if err != nil || !(seconds > 0 && seconds <= maxTimeout) {
		return defaultLimit
	}
	timeout := time.Duration(seconds * float64(time.Second))
	return timeout - min(margin, timeout/2)
}
