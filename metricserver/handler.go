package metricserver

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"

	"github.com/sandmeter/sandmeter/internal/clock"
	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/expo"
	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/guard"
	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/privilege"
	"github.com/sandmeter/sandmeter/internal/records"
	"github.com/sandmeter/sandmeter/internal/registration"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/totals"
	"github.com/sandmeter/sandmeter/internal/web"
)

// A Handler serves the same paths as a Server, in an HTTP server of the caller. It is safe for
// concurrent use. Close it when it is no longer needed.
type Handler struct {
	web       *web.Handler
	counters  web.Counters
	collector *collect.Collector
	source    *registration.Source // nil: sandboxes without a registration have no metrics
	watch     *watch
	guard     *guard.Guard    // for calls that touch runtime roots
	records   *records.Writer // nil: no final records

	// For the document about the server.
	options   *Options // with defaults
	listeners []string // addresses
	problems  *problems

	alive      context.Context
	cancel     context.CancelFunc // ends alive
	background sync.WaitGroup
}

// Handler returns a handler for all paths of the server, including /metrics. Mount it in a mux at
// /, or at a prefix behind http.StripPrefix. The caller's http.Server has to limit connections,
// headers and time per client.
func (s *Server) Handler() (*Handler, error) {
	h, err := s.open()
	if err == nil {
		h.begin()
	}
	return h, err
}

// open returns a handler that serves, and does nothing by itself yet.
func (s *Server) open() (*Handler, error) {
	kept := new(problems)
	o := new(s.options)
	o.Logger = kept.logger(o.Logger)
	source, err := o.newSource()
	if err != nil {
		return nil, err
	}
	h := &Handler{source: source, guard: guard.New(clock.Real), options: o, problems: kept}
	if h.records, err = o.openRecords(); err != nil {
		return nil, err
	}
	served := func() []string { return h.collector.Roots() }
	arrive := func(root, name string, created bool) { h.collector.Arrive(root, name, created) }
	look := func() { _ = h.collector.Look() } // the next collection has the same error
	h.watch = newWatch(o.Roots, served, arrive, look, o.Logger, h.guard)
	if h.collector, err = collect.New(h.collectOptions(o)); err != nil {
		h.closeRecords()
		return nil, err
	}
	h.web = web.NewHandler(h.webOptions(o))
	h.alive, h.cancel = context.WithCancel(context.Background())
	return h, nil
}

// begin begins to watch the runtime roots.
func (h *Handler) begin() { h.background.Go(func() { h.watch.run(h.alive) }) }

// collectOptions returns the options of the handler's collector.
func (h *Handler) collectOptions(o *Options) collect.Options {
	ledger, annotation := o.ledger()
	options := collect.Options{
		Roots:           o.Roots,
		MatchAddress:    o.MatchAddress,
		Registrations:   registrationsOf(h.source),
		HideOrphans:     o.DropIn,
		Linger:          o.Linger,
		LingerMax:       lingerMax,
		MaxWithSeries:   o.MaxSandboxesWithSeries,
		FinalLog:        o.FinalMetricsLog,
		Usage:           o.measures(),
		UsageDetail:     slices.Contains(o.Usage, UsageDetail),
		Totals:          ledger,
		GroupAnnotation: annotation,
		Zeros:           schema.Zeros{Plain: slices.Contains(o.ZeroCounters, ZeroCountersAll), Names: o.ZeroCounters},
		SandboxTimeout:  o.SandboxTimeout,
		Logger:          o.Logger,
		Guard:           h.guard,
		Process:         o.processMetrics(),
		Counters:        func() snapshot.Counters { return h.counted(o) },
	}
	if o.DropPrivileges {
		options.DropPrivileges = dropPrivileges
	}
	if h.records != nil {
		options.Ended = func(s snapshot.Sandbox) { h.records.Add(records.Of(&s)) }
	}
	return options
}

// counted returns the server's counters.
func (h *Handler) counted(o *Options) snapshot.Counters {
	counters := snapshot.Counters{
		InotifyOverflows:  fact.Of(h.watch.overflows.Load(), true),
		ResponsesCutOff:   fact.Of(h.counters.ResponsesCutOff.Load(), true),
		ConnectionsClosed: fact.Of(h.counters.ConnectionsClosed.Load(), true),
	}
	if o.LogLinesDropped != nil {
		counters.LogLinesDropped = fact.Of(o.LogLinesDropped(), true)
	}
	if h.records != nil {
		counters.FinalRecordsWritten, counters.FinalRecordsDropped = fact.Of(h.records.Written(), true), fact.Of(h.records.Dropped(), true)
	}
	return counters
}

// webOptions returns the options of what serves HTTP.
func (h *Handler) webOptions(o *Options) web.Options {
	options := web.Options{
		Collect:        h.collector.Collect,
		Pages:          o.pages(),
		Formats:        o.formats(),
		MaxPerSecond:   maxCollectionsPerSecond,
		MaxAge:         o.MaxAge,
		Roots:          h.collector.Roots,
		Ready:          h.collector.Ready,
		MetricsPath:    o.TelemetryPath,
		Version:        o.Version,
		Logger:         o.Logger,
		API:            !o.DropIn,
		Status:         h.status,
		AllowProfiling: o.AllowProfiling,
		Counters:       &h.counters,
	}
	if o.EnableRegistering {
		options.Register, options.Unregister = h.collector.Register, h.collector.Unregister
	}
	return options
}

// pages returns the builder of pages.
func (o *Options) pages() *page.Builder {
	return page.NewBuilder(page.Options{Prefix: o.ExporterPrefix, Naming: page.Naming(o.MetricNaming), Timestamps: o.DropIn,
		Series:   page.NewSeriesRules(o.MetricAllow, o.MetricDeny),
		Families: families.Options{DropIn: o.DropIn, Usage: o.usageNames(), StartTime: o.StartTime, ShowTime: o.MaxAge > 0, BuildInfo: o.buildInfo()}})
}

// formats returns the formats that clients can request. OpenMetrics changes the type of counters
// whose name does not end in _total, so the server does not offer it in drop-in mode.
func (o *Options) formats() []expo.Format {
	formats := []expo.Format{expo.Text{}, expo.Protobuf{}}
	if !o.DropIn {
		formats = append(formats, expo.OpenMetrics{})
	}
	return formats
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.web.ServeHTTP(w, r) }

// Close rejects new requests, ends the collections of requests in flight, waits for these requests,
// and releases all resources of the handler.
//
// The collector is closed last because requests and the goroutine that watches the roots use it
// until they end. After that come what it uses itself: Close waits up to 2 s for the last final
// records to be written.
func (h *Handler) Close() error {
	h.cancel()
	h.collector.Stop() // requests in flight get no more time
	h.web.Close()
	h.background.Wait()
	err := h.collector.Close()
	if h.source != nil {
		h.source.Close() // after the collector, which asks it
	}
	h.closeRecords() // after the collector, which passes on the last ends
	return err
}

func (h *Handler) closeRecords() {
	if h.records != nil {
		h.records.Close()
	}
}

// measures reports whether the server measures sandboxes on the host.
func (o *Options) measures() bool { return !slices.Contains(o.Usage, UsageOff) }

// usageNames returns the names that pages have for the figures.
func (o *Options) usageNames() families.UsageNames {
	switch own, cadvisor := slices.Contains(o.Usage, UsageOwn), slices.Contains(o.Usage, UsageCadvisor); {
	case own && cadvisor:
		return families.BothNames
	case cadvisor:
		return families.CadvisorNames
	}
	return families.OwnNames
}

// ledger returns an empty ledger of totals, and the annotation by which it is grouped. Without
// totals it is nil.
func (o *Options) ledger() (ledger *totals.Ledger, annotation string) {
	by, err := totals.ParseBy(o.TotalsBy)
	if err != nil { // it is TotalsOff: New has checked all other values
		return nil, ""
	}
	return totals.New(totals.Options{By: by, Metrics: o.TotalsMetrics, Start: o.StartTime, NoUsage: !o.measures()}), by.Annotation()
}

// dropPrivileges removes the capability that the server does not need any more. A program that uses
// cgo keeps it, as test programs with the race detector do; released programs do not use cgo.
func dropPrivileges() error {
	if err := privilege.DropNetAdmin(); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
