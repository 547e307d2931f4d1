// Package collect is the pipeline on one screen: it finds the sandboxes, asks each, has every answer verified, and merges what holds
// into a page. What goes wrong with one sandbox is that sandbox's failure, and the page says so.
package collect

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/expo"
	"github.com/sandmeter/sandmeter/internal/state"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// Options say what a Collector collects.
type Options struct {
	RootDir string // the runtime root
	// MatchAddress limits the sandboxes to those that were created with this --metric-server, %RUNTIME_ROOT% in it being replaced by
	// RootDir. Empty: every sandbox that has a registration.
	MatchAddress string
	// OnlySandbox limits the sandboxes to the one with this ID, whatever it registered and named. Empty: no limit.
	OnlySandbox string
	Prefix      string // of all families, "runsc_" for example
	// AllowUnknownRoot makes a runtime root that cannot be read one without sandboxes.
	AllowUnknownRoot bool
	SandboxTimeout   time.Duration // how long one sandbox may hold a scrape
	StartTime        time.Time     // of the process
	Logger           *slog.Logger
}

// A Request is what one scrape asks for.
type Request struct {
	Filter       *regexp.Regexp // of metrics, against their names without prefix; nil: all
	Capabilities *regexp.Regexp // of capabilities, with or without CAP_; nil: all
	Deadline     time.Time      // when the collection has to be over
}

// A Collector collects. Collections take turns, so that the answers of one sandbox are asked for, verified and committed one after
// the other, and none looks out of order. It is safe for concurrent use; Close it when it is no longer needed.
type Collector struct {
	options Options
	turn    chan struct{} // holds a token while somebody collects; all below is his

	root     *state.Root
	table    *table
	loop     *control.Loop
	verifier verify.Verifier
	own      *own
	families families
	page     expo.Page
	asks     []ask
	queries  []control.Query
}

// New returns a Collector.
func New(o Options) (*Collector, error) {
	loop, err := control.NewLoop()
	if err != nil {
		return nil, err
	}
	c := &Collector{
		options: o,
		turn:    make(chan struct{}, 1),
		root:    state.NewRoot(o.RootDir),
		loop:    loop,
		own:     newOwn(o.Prefix),
	}
	c.table = newTable(&c.options)
	return c, nil
}

// Stop makes a collection that is under way, and any to come, go on with what sandboxes have answered by now.
func (c *Collector) Stop() { c.loop.Stop() }

// Close waits for a collection that is under way, and releases all descriptors.
func (c *Collector) Close() error {
	c.turn <- struct{}{}
	defer c.give()
	c.table.close()
	return c.loop.Close()
}

// CheckRoot reports whether the runtime root can be read at this moment.
func (c *Collector) CheckRoot() error { return state.NewRoot(c.options.RootDir).Check() }

// A RootError says that the runtime root could not be read.
type RootError struct{ Err error }

// Passing reports whether that is for lack of descriptors or memory, and says nothing about the root.
func (e *RootError) Passing() bool { return lacksResources(e.Err) }

func (e *RootError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *RootError) Unwrap() error { return e.Err }

// Collect waits for its turn, asks begin what to collect, does so, and calls render with the page, which is valid until render
// returns. The error is a *RootError, or that of ctx if it was done before the turn came; in neither case is render called.
func (c *Collector) Collect(ctx context.Context, begin func() Request, render func(*expo.Page)) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.give()
	r, began := begin(), time.Now()
	if err := c.list(); err != nil {
		return err
	}
	c.table.poll()
	c.ask(r)
	c.table.excuseEnded()
	c.table.logFailures()
	c.merge(r, time.Now())
	render(&c.page)
	c.table.logScrape(began)
	return nil
}

// Look finds out which sandboxes there are, without asking any of them anything: their processes are held from then on. The error is as
// that of Collect.
func (c *Collector) Look(ctx context.Context) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.give()
	return c.list()
}

// take waits for the turn.
func (c *Collector) take(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil { // both were ready
		c.give()
		return err
	}
	return nil
}

func (c *Collector) give() { <-c.turn }

// list makes the table hold what the root holds now.
func (c *Collector) list() error {
	listing, err := c.root.List()
	if err != nil && (!c.options.AllowUnknownRoot || lacksResources(err)) {
		return &RootError{err}
	}
	c.table.update(listing)
	return nil
}

// lacksResources reports whether an error is about what the process lacks for the moment, and not about the runtime root.
func lacksResources(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM)
}
