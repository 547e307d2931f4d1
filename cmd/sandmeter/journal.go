package main

import (
	"context"
	"io"
	"log/slog"
	"sync"

	"github.com/sandmeter/sandmeter/internal/cli"
)

// A journalHandler begins each line of another handler with its priority.
type journalHandler struct {
	slog.Handler
	line *journalLine
}

// A journalLine writes the line of the record that is being handled.
type journalLine struct {
	mu       sync.Mutex // held while a record is handled
	out      io.Writer
	priority string
}

func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	h.line.mu.Lock()
	defer h.line.mu.Unlock()
	h.line.priority = cli.Priority(r.Level)
	return h.Handler.Handle(ctx, r)
}

func (h journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return journalHandler{h.Handler.WithAttrs(attrs), h.line}
}

func (h journalHandler) WithGroup(name string) slog.Handler {
	return journalHandler{h.Handler.WithGroup(name), h.line}
}

// Write is called once per record.
func (l *journalLine) Write(line []byte) (int, error) {
	_, err := l.out.Write(append([]byte(l.priority), line...))
	return len(line), err
}
