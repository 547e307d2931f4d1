package metricserver

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/time/rate"
)

// checkWebConfig returns why a web configuration file cannot be used, or nil; "" is none.
func checkWebConfig(file string) error {
	if err := toolkit.Validate(file); err != nil {
		return fmt.Errorf("web configuration file %s: %w", file, err)
	}
	return nil
}

// serveHTTP serves on a listener as a web configuration file says, "" for plain HTTP, until the server is closed. The server is for this
// listener only, since the toolkit changes it.
func serveHTTP(l net.Listener, server *http.Server, file string, logger *slog.Logger) error {
	return toolkit.Serve(l, server, &toolkit.FlagConfig{WebConfigFile: &file}, slog.New(newToolkitLog(logger.Handler())))
}

// toolkitLogInterval is the least time between two errors of the toolkit in the log.
const toolkitLogInterval = time.Minute

// toolkitLog is the log of the toolkit: its errors only, since the server announces by itself where it serves. They are about the configuration
// file and come with each request, so the log has one per minute.
type toolkitLog struct {
	slog.Handler
	errors *rate.Sometimes
}

func newToolkitLog(next slog.Handler) toolkitLog {
	return toolkitLog{next, &rate.Sometimes{Interval: toolkitLogInterval}}
}

// Enabled implements slog.Handler.
func (h toolkitLog) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError && h.Handler.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h toolkitLog) Handle(ctx context.Context, r slog.Record) (err error) {
	h.errors.Do(func() { err = h.Handler.Handle(ctx, r) })
	return err
}
