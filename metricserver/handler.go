package metricserver

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"sync"

	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/expo"
	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/web"
)

// A Handler serves what a Server serves, in an HTTP server of the caller's. It is safe for concurrent use. Close it when it is no longer
// needed.
type Handler struct {
	web       *web.Handler
	collector *collect.Collector

	cancel     context.CancelFunc
	background sync.WaitGroup
}

// Handler returns a handler with the paths of the server, /metrics among them, to be mounted in a mux: at /, or at a prefix behind
// http.StripPrefix. What a client may cost in connections, headers and time is for the caller's http.Server to limit. A runtime root that
// cannot be read is an error of each request, with status 500.
func (s *Server) Handler() (*Handler, error) { return s.open(func(error) {}) }

// open returns a handler that calls lost with a *RootError when the runtime root can no longer be read.
func (s *Server) open(lost func(error)) (*Handler, error) {
	o := &s.options
	collector, err := collect.New(collect.Options{
		Roots:            o.Roots,
		MatchAddress:     o.MatchAddress,
		AllowUnknownRoot: o.AllowUnknownRoot,
		DropIn:           o.DropIn,
		KeepEnded:        o.KeepEnded,
		SandboxTimeout:   o.SandboxTimeout,
		StartTime:        o.StartTime,
		ShowTime:         o.MaxAge > 0,
		Logger:           o.Logger,
		LogLinesDropped:  o.LogLinesDropped,
	})
	if err != nil {
		return nil, err
	}
	rootLost := func(err error) {
		if root, ok := errors.AsType[*collect.RootError](err); ok && !root.Passing() {
			lost(&RootError{root.Err})
		}
	}
	h := &Handler{collector: collector, web: web.NewHandler(web.Options{
		Collect:        collector.Collect,
		Pages:          page.NewBuilder(o.ExporterPrefix),
		Formats:        o.formats(),
		MaxPerSecond:   o.MaxCollectionsPerSecond,
		MaxAge:         o.MaxAge,
		Roots:          collector.Roots,
		Ready:          collector.Listed,
		MetricsPath:    o.TelemetryPath,
		Version:        o.Version,
		Logger:         o.Logger,
		API:            !o.DropIn,
		AllowProfiling: o.AllowProfiling,
		RootLost:       rootLost,
	})}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	dirs := func() []string { return watched(o.Roots, collector.Roots()) }
	look := func() {
		if err := collector.Look(); err != nil {
			rootLost(err)
		}
	}
	h.background.Go(func() { newWatch(dirs, look, o.Logger).run(ctx) })
	return h, nil
}

// formats returns what clients may ask for. OpenMetrics gives counters whose name does not end in _total another type, so what stands in for
// gVisor's own server does not offer it.
func (o *Options) formats() []expo.Format {
	formats := []expo.Format{expo.Text{}, expo.Protobuf{}}
	if !o.DropIn {
		formats = append(formats, expo.OpenMetrics{Created: o.CreatedSeries})
	}
	return formats
}

// watched returns the directories in which something may change: the roots that are served, and those in which a root that matches a glob may
// appear.
func watched(configured, served []string) []string {
	dirs := append([]string(nil), served...)
	for _, root := range configured {
		if collect.IsGlob(root) {
			parent := filepath.Dir(root)
			for collect.IsGlob(parent) {
				parent = filepath.Dir(parent)
			}
			dirs = append(dirs, parent)
		}
	}
	return dirs
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.web.ServeHTTP(w, r) }

// Close lets no more requests in, waits for those under way, which end their collection now, and releases all that the handler has.
//
// The collector is closed last: requests, and the goroutine that watches the roots, use it until they have ended.
func (h *Handler) Close() error {
	h.cancel()
	h.collector.Stop() // requests that still wait have had their time
	h.web.Close()
	h.background.Wait()
	return h.collector.Close()
}
