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

// checkWebConfig returns an error if a web configuration file is invalid. An empty name means no
// file.
func checkWebConfig(file string) error {
	if err := toolkit.Validate(file); err != nil {
		return fmt.Errorf("web configuration file %s: %w", file, err)
	}
	return nil
}

// serveHTTP serves on a listener until the server is closed, with the settings of a web
// configuration file, or plain HTTP if file is empty. Each listener needs its own server because
// the toolkit modifies it.
func serveHTTP(l net.Listener, server *http.Server, file string, logger *slog.Logger) error {
	return toolkit.Serve(l, server, &toolkit.FlagConfig{WebConfigFile: &file}, slog.New(toolkitLog{logger.Handler(), &rate.Sometimes{Interval: toolkitLogInterval}}))
}

// toolkitLogInterval is the minimum time between two logged errors of the toolkit.
const toolkitLogInterval = time.Minute

// toolkitLog is the log handler for the toolkit. It drops everything below errors because the
// server already logs its addresses. The errors are about the configuration file and occur for each
// request, so it logs at most one per toolkitLogInterval.
type toolkitLog struct {
	slog.Handler
	errors *rate.Sometimes
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
