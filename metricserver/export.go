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

// Export asks one sandbox for its metrics, without a server, and writes them to w in Prometheus's text format. Nothing is written unless
// all of what the sandbox said was verified. Of the options, RootDir, ExporterPrefix, SandboxTimeout and Logger count.
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
	err = collector.Export(ctx, begin, func(p *expo.Page) { text = expo.AppendText(nil, p) })
	switch {
	case errors.Is(err, collect.ErrUnknownSandbox):
		return fmt.Errorf("there is no sandbox %q in runtime root %s", sandbox, o.RootDir)
	case err != nil && !errors.As(err, new(*collect.RootError)):
		return fmt.Errorf("sandbox %q: %w", sandbox, err)
	case err != nil:
		return err
	}
	_, err = w.Write(text)
	return err
}
