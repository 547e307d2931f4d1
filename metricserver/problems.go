package metricserver

import (
	"context"
	"log/slog"
	"strings"
	"sync"

	"github.com/sandmeter/sandmeter/internal/api"
)

// Limits on the problems that are kept.
const (
	maxProblems   = 50
	maxDetailSize = 1 << 10 // bytes
)

// problems keeps the newest warnings and errors that pass through its logger. It is safe for
// concurrent use.
type problems struct {
	mu   sync.Mutex
	kept []api.Problem
}

// logger returns a logger that keeps problems, and passes everything on to another.
func (p *problems) logger(to *slog.Logger) *slog.Logger {
	return slog.New(&problemHandler{problems: p, Handler: to.Handler()})
}

// newest returns the problems that are kept, oldest first.
func (p *problems) newest() []api.Problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]api.Problem{}, p.kept...)
}

// A problemHandler is a slog.Handler that keeps warnings and errors.
type problemHandler struct {
	slog.Handler
	problems *problems
	attrs    []slog.Attr
}

func (h *problemHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn || h.Handler.Enabled(ctx, level)
}

func (h *problemHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		var details []string
		add := func(a slog.Attr) bool { details = append(details, a.String()); return true }
		for _, a := range h.attrs {
			add(a)
		}
		r.Attrs(add)
		text := strings.Join(details, " ")
		text = strings.ToValidUTF8(text[:min(len(text), maxDetailSize)], "")
		h.problems.mu.Lock()
		defer h.problems.mu.Unlock()
		kept := append(h.problems.kept, api.Problem{Time: r.Time, Level: strings.ToLower(r.Level.String()), Message: r.Message, Details: text})
		h.problems.kept = kept[max(0, len(kept)-maxProblems):]
	}
	if !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h *problemHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &problemHandler{h.Handler.WithAttrs(attrs), h.problems, append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}
