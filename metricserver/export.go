package metricserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/expo"
)

// ErrNoSandbox means that the runtime root has no sandbox with the ID, or none whose state file can be read: Options.Logger is told which
// files cannot.
var ErrNoSandbox = errors.New("there is no sandbox")

// Export asks one sandbox for its metrics, without a server, and writes them to w in Prometheus's text format. Nothing is written unless
// all of what the sandbox said was verified. Of the options, RootDir, ExporterPrefix, SandboxTimeout and Logger count. The error is a
// *RootError when the runtime root cannot be read, and has ErrNoSandbox in its chain when the sandbox is not there.
func Export(ctx context.Context, o Options, sandbox string, w io.Writer) error {
	o.Address = "unused"
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	collector, err := collect.New(collect.Options{
		RootDir:        o.RootDir,
		OnlySandbox:    sandbox,
		Prefix:         o.ExporterPrefix,
		SandboxTimeout: o.SandboxTimeout,
		Logger:         o.Logger,
	})
	if err != nil {
		return err
	}
	defer collector.Close()
	var text []byte
	begin := func() collect.Request {
		return collect.Request{Deadline: time.Now().Add(o.SandboxTimeout + time.Second)}
	}
	var root *collect.RootError
	err = collector.Export(ctx, begin, func(p *expo.Page) { text = expo.AppendText(nil, p) })
	switch {
	case errors.Is(err, collect.ErrUnknownSandbox):
		return fmt.Errorf("%w %q in runtime root %s", ErrNoSandbox, sandbox, o.RootDir)
	case errors.As(err, &root):
		return &RootError{root.Err}
	case err != nil:
		return fmt.Errorf("sandbox %q: %w", sandbox, err)
	}
	_, err = w.Write(text)
	return err
}
