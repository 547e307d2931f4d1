package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"regexp/syntax"
	"strconv"
	"time"

	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/expo"
)

// Parameters of a scrape.
const (
	paramFilter       = "runsc-sandbox-metrics-filter"
	paramCapabilities = "runsc-capability-filter"
	headerTimeout     = "X-Prometheus-Scrape-Timeout-Seconds"
)

// What a filter may cost: its bytes, and the steps that it stands for. The seven of x{1000} stand for a thousand.
const (
	maxFilter = 4 << 10
	maxSteps  = 10_000
)

func (h *Handler) scrape(w http.ResponseWriter, r *http.Request, query url.Values) error {
	now := time.Now()
	ask, err := parseRequest(query)
	if err != nil {
		return err
	}
	ask.Deadline = now.Add(budget(r.Header.Get(headerTimeout)))
	sc, err := h.scrapes.get(r.Context(), ask)
	var lost *collect.RootError
	switch {
	case errors.As(err, &lost):
		h.options.RootLost(lost)
		return err
	case errors.Is(err, context.Canceled):
		return refuse(http.StatusServiceUnavailable, "the connection was closed before other scrapes left this one room")
	case errors.Is(err, context.DeadlineExceeded):
		return refuse(http.StatusServiceUnavailable, "other scrapes left this one no time, try again")
	case err != nil:
		return err
	}
	defer h.scrapes.leave(sc, ask.Deadline)
	// A client that is too slow for the page to be kept for it is cut off.
	defer context.AfterFunc(sc.ctx, func() { _ = http.NewResponseController(w).SetWriteDeadline(time.Now()) })()
	w.Header().Set("Content-Type", expo.ContentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(sc.body)))
	_, _ = w.Write(sc.body) // an error is the client's having gone away
	return nil
}

func parseRequest(query url.Values) (collect.Request, error) {
	var r collect.Request
	var err error
	if r.Filter, err = parseFilter(query.Get(paramFilter), "metric"); err != nil {
		return r, err
	}
	r.Capabilities, err = parseFilter(query.Get(paramCapabilities), "capability")
	return r, err
}

func parseFilter(text, what string) (*regexp.Regexp, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > maxFilter {
		return nil, refuse(http.StatusBadRequest, "provided %s filter is longer than %d bytes", what, maxFilter)
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "provided %s filter is not a valid regular expression", what)
	}
	if steps(tree) > maxSteps {
		return nil, refuse(http.StatusBadRequest, "provided %s filter repeats too much: it stands for more than %d steps", what, maxSteps)
	}
	return regexp.Compile(text)
}

// steps is about how many instructions an expression compiles to.
func steps(re *syntax.Regexp) int {
	n := 1
	if re.Op == syntax.OpLiteral {
		n = len(re.Rune)
	}
	for _, sub := range re.Sub {
		n += steps(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return n
}

// Times that a scrape may take. A scraper that says how long it waits gets its page before that.
const (
	defaultBudget = 9 * time.Second
	maxTimeout    = 60 // seconds; one who says more is not believed
	margin        = 500 * time.Millisecond
)

// budget is how long a collection may take for a scraper that waits for as many seconds as the header says.
func budget(header string) time.Duration {
	seconds, err := strconv.ParseFloat(header, 64)
	if err != nil || !(seconds > 0 && seconds <= maxTimeout) {
		return defaultBudget
	}
	timeout := time.Duration(seconds * float64(time.Second))
	return timeout - min(margin, timeout/2)
}
