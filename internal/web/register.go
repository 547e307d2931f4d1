package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/sandmeter/sandmeter/internal/api"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// Registering is a function that registers or unregisters the sandbox with exactly this ID in a
// runtime root. It may wait until ctx ends, and returns soon after that. The error is a
// *failure.Failure if the sandbox is refused; it wraps snapshot.ErrNoSandbox, also where ctx ended
// before there was one, snapshot.ErrNoRoot, or the error of ctx. It must be safe for concurrent
// use.
type Registering func(ctx context.Context, root, id string) (snapshot.Registered, error)

// Parameters of these requests, in the form or in the query.
const (
	paramRoot    = "root"
	paramTimeout = "timeout" // seconds
)

// How long such a request waits.
const (
	defaultWait = 10 * time.Second
	maxWait     = 60 * time.Second // longer timeouts count as this; a response has 90 s
)

// Limits on requests that wait at a time, for all clients together and for each path. They occupy
// connections, and no more than a share of them, so that others can scrape.
const (
	maxWaits           = 64
	connectionsPerWait = 4
)

func waitsOf(connections int) int { return min(maxWaits, connections/connectionsPerWait) }

// handleRegistering serves a path that registers or unregisters sandboxes.
func (h *Handler) handleRegistering(path string, do Registering) {
	if do == nil {
		h.handle(path, func(http.ResponseWriter, *http.Request) error {
			return refuse(http.StatusNotFound, "this server does not let clients register sandboxes; start it with --web.enable-registration or SANDMETER_WEB_ENABLE_REGISTRATION=true")
		}, http.MethodPost)
		return
	}
	waits := make(chan struct{}, waitsOf(MaxConnections()))
	h.handleMethods(path, func(w http.ResponseWriter, r *http.Request) error {
		if err := h.checkOrigin(r); err != nil {
			return err
		}
		of, err := h.parseRegistering(w, r)
		if err != nil {
			return err
		}
		select {
		case waits <- struct{}{}:
			defer func() { <-waits }()
		default:
			w.Header().Set("Retry-After", "1")
			return refuse(http.StatusTooManyRequests, "%d requests are waiting already; try again", cap(waits))
		}
		return h.register(w, r, of, do)
	}, http.MethodPost)
}

// checkOrigin refuses requests that a browser sends for a web page of another origin. Any page can
// make a browser send a form to a loopback address, or to the network of its user. The page cannot
// read the response, but the sandbox would be hidden all the same.
func (h *Handler) checkOrigin(r *http.Request) error {
	var protection http.CrossOriginProtection // no origin is trusted
	if protection.Check(r) == nil {
		return nil
	}
	h.crossOrigins.Do(func() {
		h.options.Logger.Warn("Request refused: a web page of another origin sent it; logged at most once per minute",
			"path", r.URL.Path, "origin", shorten(r.Header.Get("Origin")), "client", clientOf(r))
	})
	return refuse(http.StatusForbidden, "requests from web pages of other origins are not accepted")
}

// A registerRequest names the sandbox to register or unregister.
type registerRequest struct {
	root, id string
	timeout  time.Duration
}

func (h *Handler) parseRegistering(w http.ResponseWriter, r *http.Request) (of registerRequest, err error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return of, refuse(http.StatusBadRequest, "%s", err)
	}
	root, err := single(r.Form, paramRoot, "the path of a runtime root")
	if err != nil {
		return of, err
	}
	of.root = h.spellRoot(root)
	if of.id, err = single(r.Form, paramSandbox, "the ID of a sandbox"); err != nil {
		return of, err
	}
	of.timeout, err = parseWait(r.Form.Get(paramTimeout))
	return of, err
}

// single returns the value of a parameter that is required once.
func single(form url.Values, name, what string) (string, error) {
	if values := form[name]; len(values) != 1 || values[0] == "" {
		return "", refuse(http.StatusBadRequest, "give %s once, as the form value %s", what, name)
	}
	return form.Get(name), nil
}

// spellRoot returns a root as the server spells it. A root that is not served yet stays as it is.
func (h *Handler) spellRoot(root string) string {
	roots := h.options.Roots()
	same := func(served string) bool { return filepath.Clean(served) == filepath.Clean(root) }
	if i := slices.IndexFunc(roots, same); i >= 0 && !slices.Contains(roots, root) {
		return roots[i]
	}
	return root
}

// parseWait parses a timeout in seconds. Zero is a timeout too: the sandbox has to be there.
func parseWait(text string) (time.Duration, error) {
	if text == "" {
		return defaultWait, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds >= 0) {
		return 0, refuse(http.StatusBadRequest, "provided timeout %q is refused: give a number of seconds, such as 10 or 0.5", shorten(text))
	}
	if seconds >= maxWait.Seconds() {
		return maxWait, nil
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// register registers or unregisters a sandbox, and sends the result. The wait ends with the
// timeout, when the client disconnects, and when the handler stops.
func (h *Handler) register(w http.ResponseWriter, r *http.Request, of registerRequest, do Registering) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(r.Context(), of.timeout)
	defer cancel()
	defer context.AfterFunc(h.stopping, cancel)()
	done, err := do(ctx, of.root, of.id)
	h.options.Logger.Debug("Registering", "path", r.URL.Path, "root", shorten(of.root), "sandbox", shorten(of.id), "client", clientOf(r),
		"took", time.Since(began).Round(time.Microsecond).String(), slog.Any("err", err))
	if err == nil {
		return sendJSON(w, http.StatusOK, api.RegisteredOf(done))
	}
	return h.sendRefusal(w, r, of, err)
}

// sendRefusal sends why a sandbox was not registered or unregistered. The end of the context is the
// cause of any error after it, so the reason for the end comes first.
func (h *Handler) sendRefusal(w http.ResponseWriter, r *http.Request, of registerRequest, err error) error {
	refused, isRefused := errors.AsType[*failure.Failure](err)
	switch {
	case isRefused:
		return sendJSON(w, http.StatusUnprocessableEntity, api.Refused(refused))
	case h.stopping.Err() != nil:
		return refuse(http.StatusServiceUnavailable, shuttingDown)
	case r.Context().Err() != nil:
		return refuse(http.StatusServiceUnavailable, "the connection was closed while the request waited for the sandbox")
	case errors.Is(err, snapshot.ErrNoRoot):
		return refuseRoot(h.options.Roots())
	case errors.Is(err, snapshot.ErrNoSandbox):
		return sendJSON(w, http.StatusNotFound, api.Absent(of.id, of.root))
	case errors.Is(err, context.DeadlineExceeded):
		return refuse(http.StatusServiceUnavailable, "the timeout ended before the server could look for the sandbox; try again")
	}
	return err
}
