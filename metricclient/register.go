package metricclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Reasons why a sandbox is not registered or unregistered. See also [RefusedError] and
// [WrongRootError].
var (
	// ErrNoSandbox means that the runtime root has no sandbox with the ID.
	ErrNoSandbox = errors.New("no such sandbox")

	// ErrNoRegistering means that the server does not let clients register sandboxes, such as
	// one without --web.enable-registration and gVisor's own metric server.
	ErrNoRegistering = errors.New("the server does not let clients register sandboxes: start it with --web.enable-registration or " + enableRegistering)
)

// RefusedError means that the server found the sandbox but does not accept its metrics.
type RefusedError struct {
	// Reason is a value of the label reason of sandmeter_sandbox_failure, such as
	// registration_refused or reply_refused. It is from the server and not validated.
	Reason string
	// Rule is what the server says about it, such as the rule that a reply breaks: one line,
	// truncated and printable.
	Rule string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the server refuses the sandbox (%s): %s", excerpt(e.Reason), e.Rule)
}

// errBusy means that the server cannot serve the request now. The client repeats it.
var errBusy = errors.New("the server is busy")

// A RegisteredSandbox is a sandbox that was registered or unregistered. Its values are from the
// server and not validated.
type RegisteredSandbox struct {
	ID          string
	Iteration   string // distinguishes the lives of an ID; a label of all series of the sandbox
	RuntimeRoot string // as the server spells it
	Pod         string // empty: not known
	Namespace   string // empty: not known
	CreatedAt   time.Time
	PID         int // of the sandbox's process on the host; 0: it has ended
	// Sampled reports whether the server took a sample within 100 ms. If it did, increases are counted
	// from this call on, or up to it. If not, the sandbox is registered or unregistered all the same.
	Sampled bool
}

const (
	registerPath   = "/runsc-metrics/register"
	unregisterPath = "/runsc-metrics/unregister"

	// maxWait is the longest timeout of one request; servers do not wait longer.
	maxWait = 60 * time.Second
	// unregisterTimeout is the longest time that UnregisterSandbox takes.
	unregisterTimeout = 10 * time.Second
	// responseMargin is the part of the remaining time that is left for the response.
	responseMargin = 500 * time.Millisecond
	// responseTimeout is how much longer than its timeout a request may take.
	responseTimeout = 10 * time.Second
	// repeatPause is the pause before a request is repeated, also if a server does not wait.
	repeatPause = 250 * time.Millisecond

	maxRegisteredBody = 4 << 20 // 150 bytes per container
)

// RegisterSandbox waits until ctx ends for the sandbox with exactly this ID to appear in the
// client's runtime root, and makes the server sample it at once. The server then knows the counters
// of the sandbox from close to its start, even if it lives for less than a scrape interval. Call
// RegisterSandbox before or after runsc creates the sandbox. It is never required: the server also
// finds sandboxes by itself.
//
// RegisterSandbox adds nothing that is not in the runtime root, and a server that serves only
// sandboxes with its own --metric-server ([MetricClient.SpawnServer]) waits in vain for others. A
// sandbox that was unregistered stays hidden.
//
// The error wraps [ErrNoSandbox] if there is no such sandbox until ctx ends, or until half a second
// before its deadline, which is left for the response. It wraps a [*RefusedError] if the server does
// not accept the sandbox's metrics; [ErrNoRegistering], [ErrNotListening], [ErrShuttingDown],
// [ErrUnauthorized], [ErrTLS] or a [*WrongRootError] if that is the reason; and the error of ctx if
// ctx ends without a response. Without a deadline, RegisterSandbox waits until ctx is canceled.
//
// A server lets at most 64 requests wait at a time, for all clients together. RegisterSandbox
// repeats a request that exceeds this, so any number of calls may be in progress.
func (c *MetricClient) RegisterSandbox(ctx context.Context, id string) (s RegisteredSandbox, err error) {
	defer wrap(&err, "register sandbox %s with the metric server at %s", excerpt(id), c.addr)
	return c.register(ctx, registerPath, id, true)
}

// UnregisterSandbox makes the server take a last sample of the sandbox with exactly this ID, add it
// to the totals, write the record of the sandbox, and hide the sandbox. Its series then leave the
// metrics page, until a new sandbox has the ID. The JSON API shows it as unregistered. Call it just
// before the sandbox is destroyed. It does not change the sandbox itself.
//
// A restart of the server forgets unregistrations: a sandbox that still exists is on the page
// again. Everybody who can reach the server can unregister every sandbox.
//
// UnregisterSandbox times out after 10 seconds, or when ctx is done if that is earlier. It does not
// wait for the sandbox to appear: [ErrNoSandbox] is an error at once. The other errors, and the
// limit on requests, are those of [MetricClient.RegisterSandbox].
func (c *MetricClient) UnregisterSandbox(ctx context.Context, id string) (s RegisteredSandbox, err error) {
	defer wrap(&err, "unregister sandbox %s with the metric server at %s", excerpt(id), c.addr)
	ctx, cancel := context.WithTimeout(ctx, unregisterTimeout)
	defer cancel()
	return c.register(ctx, unregisterPath, id, false)
}

// register sends requests until the server is not busy and, with appears, until there is such a sandbox, or
// until no time is left.
func (c *MetricClient) register(ctx context.Context, path, id string, appears bool) (RegisteredSandbox, error) {
	var before error // of the last request
	for {
		s, err := c.requestRegister(ctx, path, id, nextWait(ctx))
		if ended := ctx.Err(); ended != nil && errors.Is(err, ended) {
			return s, lastError(before, err)
		}
		if again := errors.Is(err, errBusy) || appears && errors.Is(err, ErrNoSandbox); !again || !timeLeft(ctx) {
			return s, err
		}
		before = err
		select {
		case <-time.After(repeatPause):
		case <-ctx.Done():
			return s, lastError(before, ctx.Err())
		}
	}
}

// lastError returns the error of a call whose context has ended. What the server said before that
// says more.
func lastError(before, ended error) error {
	if before == nil {
		return ended
	}
	return fmt.Errorf("%w (%w)", before, ended)
}

// nextWait returns the timeout of a request.
func nextWait(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return maxWait
	}
	left := time.Until(deadline)
	return max(0, min(maxWait, left-min(responseMargin, left/2)))
}

// timeLeft reports whether another request can have a result. A server that waits for as long as it
// was asked to responds when only the margin is left.
func timeLeft(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > responseMargin
}

// requestRegister sends one request.
func (c *MetricClient) requestRegister(ctx context.Context, path, id string, wait time.Duration) (RegisteredSandbox, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+responseTimeout) // for a server that does not respond
	defer cancel()
	form := url.Values{"root": {c.rootDir}, "sandbox": {id}, "timeout": {strconv.FormatFloat(wait.Seconds(), 'f', 3, 64)}}
	a, err := c.post(ctx, path, form, maxRegisteredBody)
	if err != nil {
		return RegisteredSandbox{}, err
	}
	if a.status != http.StatusOK {
		return RegisteredSandbox{}, c.judgeRegister(a)
	}
	return parseRegistered(a.body, id)
}

// judgeRegister returns the error for a response with a status other than 200.
func (c *MetricClient) judgeRegister(a answer) error {
	if err := c.refusal(a); err != nil {
		return err
	}
	text, reason, isRefusal := parseRefusal(a.body)
	switch {
	case a.status == http.StatusNotFound && isRefusal:
		return fmt.Errorf("%w: %s", ErrNoSandbox, excerpt(text))
	case a.status == http.StatusUnprocessableEntity && isRefusal:
		return &RefusedError{reason, excerpt(text)}
	case a.status == http.StatusNotFound, a.status == http.StatusMethodNotAllowed:
		return fmt.Errorf("%w: %w", ErrNoRegistering, a.statusError())
	case a.status == http.StatusServiceUnavailable, a.status == http.StatusTooManyRequests:
		return fmt.Errorf("%w: %w", errBusy, a.statusError())
	}
	return a.statusError()
}

// parseRefusal parses the document with which a server says why not.
func parseRefusal(body string) (text, reason string, ok bool) {
	var d struct{ Error, Reason string }
	err := json.Unmarshal([]byte(body), &d)
	return d.Error, d.Reason, err == nil && d.Error != ""
}

// parseRegistered parses the document of a sandbox that was registered or unregistered.
func parseRegistered(body, id string) (RegisteredSandbox, error) {
	var d struct {
		ID          string    `json:"id"`
		Iteration   string    `json:"iteration"`
		RuntimeRoot string    `json:"runtime_root"`
		Pod         string    `json:"pod"` // empty for null
		Namespace   string    `json:"namespace"`
		CreatedAt   time.Time `json:"created_at"`
		PID         int       `json:"pid"` // 0 for null
		Sampled     bool      `json:"sampled"`
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil || d.ID != id {
		return RegisteredSandbox{}, fmt.Errorf("%w: its reply is not about the sandbox: %s", ErrNotMetricServer, excerpt(body))
	}
	return RegisteredSandbox(d), nil
}
