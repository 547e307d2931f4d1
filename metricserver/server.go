package metricserver

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"time"

	"github.com/sandmeter/sandmeter/internal/web"
)

// lingerMax is how many sandboxes that have ended stay on the page at most.
const lingerMax = 1000

// Limits on the resources that a client can use.
const (
	// A client that sends requests in a loop must not keep every sandbox awake.
	maxCollectionsPerSecond = 20

	headerTimeout  = 5 * time.Second
	requestTimeout = 15 * time.Second
	answerTimeout  = 90 * time.Second // the longest scrape, and a client that reads the page slowly
	idleTimeout    = 2 * time.Minute
	maxHeader      = 64 << 10
	stopTimeout    = 5 * time.Second
	// Part of stopTimeout, for an accepted connection to send its request, and again to take the
	// response.
	lingerTimeout = 500 * time.Millisecond
)

// limits are the limits that tests change.
type limits struct {
	header, idle, stop, linger time.Duration
	connections                int // for all listeners together
}

// A RootError means that the runtime root cannot be read at the start.
type RootError struct{ Err error }

func (e *RootError) Error() string { return e.Err.Error() }

// Unwrap returns the cause, an *fs.PathError.
func (e *RootError) Unwrap() error { return e.Err }

// A Server serves the metrics of the sandboxes in runtime roots. Its methods are safe for
// concurrent use. Each call of Run, Serve or Handler creates an independent server.
type Server struct {
	options Options
	limits  limits
}

// New returns a Server, or an error that lists all invalid options. It does not open anything.
func New(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Server{o, limits{headerTimeout, idleTimeout, stopTimeout, lingerTimeout, web.MaxConnections()}}, nil
}

// Run listens on Options.Addresses and serves until ctx is done, like Serve.
func (s *Server) Run(ctx context.Context) error {
	if len(s.options.Addresses) == 0 {
		return errors.New("no address to listen on: give host:port, :port or the absolute path of a Unix socket")
	}
	return s.run(ctx, func() ([]net.Listener, error) { return listenAll(&s.options) })
}

// Serve serves on listeners until ctx is done, and then returns nil. It returns an error if it
// cannot serve on one of the listeners, and a *RootError if a single runtime root cannot be read at the
// start. A root that is missing is an error with DropIn only, and without AllowUnknownRoot. When Serve returns, the
// listeners and everything that the server opened are closed. Requests in flight get a few seconds
// to finish.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	defer closeAll(listeners) // run does not close them if it fails before it calls listen
	if len(listeners) == 0 {
		return errors.New("no listener to serve on")
	}
	return s.run(ctx, func() ([]net.Listener, error) { return listeners, nil })
}

// run opens the collector, calls listen, and serves.
func (s *Server) run(ctx context.Context, listen func() ([]net.Listener, error)) error {
	if err := checkWebConfig(s.options.WebConfigFile); err != nil {
		return err
	}
	h, err := s.open()
	if err != nil {
		return err
	}
	defer h.Close()
	if err := h.collector.CheckRoot(); err != nil && !s.options.waitsFor(err) {
		return &RootError{err}
	}
	h.begin()
	listeners, err := listen()
	if err != nil {
		return err
	}
	defer closeAll(listeners)
	var addrs []net.Addr
	for _, l := range listeners {
		addrs = append(addrs, l.Addr())
		h.listeners = append(h.listeners, l.Addr().String())
	}
	if s.options.Listening != nil {
		if err := s.options.Listening(addrs); err != nil {
			return err
		}
	}
	h.collector.LogOutcomeSources()
	return s.serve(ctx, listeners, h)
}

// waitsFor reports whether the server waits for a runtime root with an error at the start.
func (o *Options) waitsFor(err error) bool {
	return errors.Is(err, fs.ErrNotExist) && (o.AllowUnknownRoot || !o.DropIn)
}
