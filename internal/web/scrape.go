package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/sandmeter/sandmeter/internal/expo"
	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/share"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// headerTimeout names the header with the scraper's timeout.
const headerTimeout = "X-Prometheus-Scrape-Timeout-Seconds"

// leavingGrace is how long a request keeps waiting for its collection to begin after the client has
// closed its side of the connection. The client may have disconnected, or it may only have finished
// sending and still wait for the response: net/http does not distinguish the two.
const leavingGrace = 100 * time.Millisecond

// scrape serves a page and returns the number of bytes sent.
func (h *Handler) scrape(w http.ResponseWriter, r *http.Request, query url.Values) (sent int, err error) {
	deadline := time.Now().Add(timeLimit(r.Header.Get(headerTimeout)))
	want, err := h.parseSelection(query)
	if err != nil {
		return 0, err
	}
	snap, err := h.snapshot(r.Context(), want.Sandboxes, deadline, h.options.MaxAge)
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

// page returns a lease of a page of the snapshot. The page is compressed unless encoding is nil.
func (h *Handler) page(ctx context.Context, snap *snapshot.Snapshot, as rendering, encoding expo.Encoding) (*share.Lease, error) {
	prepare := func() func(share.Buffer) []byte {
		p := h.options.Pages.Build(snap, as.want) // may wait for other costly filters
		return func(buffer share.Buffer) []byte { return as.format.Append(buffer(p.TextSize()), p) }
	}
	if encoding == nil {
		return h.shared.Page(ctx, snap, as, prepare)
	}
	return h.shared.EncodedPage(ctx, snap, as, prepare, encoding)
}

// logScrape logs a scrape that ended with err, at debug level. The header of w has the Content-Type of
// the page, if there is one.
func (h *Handler) logScrape(w http.ResponseWriter, r *http.Request, query url.Values, sent int, err error, took time.Duration) {
	status, _ := statusOf(err)
	h.options.Logger.Debug("Scrape", "client", clientOf(r), "filter", shorten(query.Get(paramFilter)), "capability_filter", shorten(query.Get(paramCapabilities)),
		"format", w.Header().Get("Content-Type"), "status", status, "bytes", sent, "took", took.Round(time.Microsecond).String())
}

// A rendering identifies a page of a snapshot. Requests with equal renderings share the page.
// Selections with the same filter texts have identical filters.
type rendering struct {
	format expo.Format
	want   page.Selection
}

// snapshot returns a snapshot for a request, with at least the sandboxes that of selects.
func (h *Handler) snapshot(ctx context.Context, of snapshot.Selector, deadline time.Time, maxAge time.Duration) (*snapshot.Snapshot, error) {
	waiting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(leavingGrace, cancel) })()
	snap, err := h.shared.Snapshot(waiting, of, deadline, maxAge)
	switch {
	case errors.Is(err, context.Canceled):
		return nil, refuse(http.StatusServiceUnavailable, "the connection was closed while the request waited for other scrapes")
	case errors.Is(err, share.ErrNoTime):
		return nil, refuse(http.StatusServiceUnavailable, "no time left after other scrapes; try again")
	}
	return snap, err
}

// sendPiece is the number of bytes written at a time. The client's read rate is measured between
// pieces.
const sendPiece = 256 << 10

// send sends a page and returns the number of bytes that the client or the kernel took. A client
// that is too slow is cut off, so that its page can be freed.
func (h *Handler) send(w http.ResponseWriter, lease *share.Lease) (sent int) {
	body := lease.Body()
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	defer context.AfterFunc(lease.Context(), func() {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now())
		h.options.Counters.ResponsesCutOff.Add(1)
		h.slowReaders.Do(func() {
			h.options.Logger.Warn("Client cut off because it reads its page too slowly; logged at most once per minute")
		})
	})()
	for len(body) > 0 {
		piece := body[:min(len(body), sendPiece)]
		n, err := w.Write(piece)
		sent += n
		if err != nil {
			break // the client has disconnected or was cut off
		}
		lease.Sent(n)
		body = body[n:]
	}
	return sent
}

// Time limits for scrapes. A scraper that sends its timeout gets its page before the timeout.
const (
	defaultLimit = 9 * time.Second
	maxTimeout   = 60 // seconds; longer timeouts are ignored
	margin       = 500 * time.Millisecond
)

// timeLimit returns the maximum duration of a collection for a scraper that sends this header: its
// timeout in seconds.
func timeLimit(header string) time.Duration {
	seconds, err := strconv.ParseFloat(header, 64)
	if err != nil || !(seconds > 0 && seconds <= maxTimeout) {
		return defaultLimit
	}
	timeout := time.Duration(seconds * float64(time.Second))
	return timeout - min(margin, timeout/2)
}
