package metricserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/expo"
	"github.com/sandmeter/sandmeter/internal/page"
)

// ErrNoMatch means that no metric that the sandbox reports matches the filter.
var ErrNoMatch = errors.New("no metric matches")

// ErrNoSandbox means that the runtime root has no readable state file for the sandbox ID.
// Unreadable state files are logged to Options.Logger.
var ErrNoSandbox = errors.New("there is no sandbox")

var errEnded = errors.New("the sandbox has ended")

// Export requests the metrics of one sandbox, without a server, and writes them to w in the
// Prometheus text format. The filter is a regular expression that is matched against metric names
// without the prefix; an empty filter matches all metrics. Export writes nothing unless it has
// verified the whole reply from the sandbox. It uses only these options: the first of Roots,
// ExporterPrefix, MetricNaming, SandboxTimeout, Runsc and Logger. It returns a *RootError if the runtime
// root cannot be read. The error wraps ErrNoSandbox if the sandbox does not exist, and ErrNoMatch if no
// metric matches.
func Export(ctx context.Context, o Options, sandbox, filter string, w io.Writer) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	want, err := page.NewFilters().Compile(filter)
	if err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	source, err := o.newSource()
	if err != nil {
		return err
	}
	collector, err := collect.New(collect.Options{
		Roots:          o.Roots[:1],
		Registrations:  registrationsOf(source),
		Linger:         time.Hour,
		LingerMax:      1,
		OnlySandbox:    sandbox,
		SandboxTimeout: o.SandboxTimeout,
		Logger:         o.Logger,
	})
	if err != nil {
		return err
	}
	defer collector.Close()
	if err := collector.CheckRoot(); err != nil {
		return &RootError{err}
	}
	defer context.AfterFunc(ctx, collector.Stop)()
	if source != nil {
		defer source.Close()
		_ = collector.Look() // starts the search; an error is Collect's, too
		source.Wait(ctx)
	}
	snap, err := collector.Collect(collect.Plan{Deadline: time.Now().Add(o.SandboxTimeout + time.Second)})
	if err != nil {
		return &RootError{err}
	}
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case len(snap.Sandboxes) == 0:
		return fmt.Errorf("%w %q in runtime root %s", ErrNoSandbox, sandbox, o.Roots[0])
	case !snap.Sandboxes[0].Running():
		err = errEnded
	case snap.Sandboxes[0].Failure != nil:
		err = snap.Sandboxes[0].Failure
	}
	if err != nil {
		return fmt.Errorf("sandbox %q: %w", sandbox, err)
	}
	text := expo.Text{}.Append(nil, o.pages().BuildReported(&snap.Sandboxes[0], want))
	if want != nil && len(text) == 0 {
		return fmt.Errorf("sandbox %q: %w %q", sandbox, ErrNoMatch, filter)
	}
	_, err = w.Write(text)
	return err
}
