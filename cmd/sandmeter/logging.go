package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
)

// logFlags are the flags for logs, with the names that Prometheus and its exporters use.
type logFlags struct{ level, format string }

func (f *logFlags) settings() []config.Setting {
	return []config.Setting{
		{Name: "log.level", Heading: "Logging", Placeholder: "level", Value: &f.level, Choices: []string{"debug", "info", "warn", "error"},
			Help: "Log messages of this level and above: debug, info, warn, error."},
		{Name: "log.format", Heading: "Logging", Placeholder: "format", Value: &f.format, Choices: []string{formatText, formatJSON},
			Help: "Format of log messages: text, json."},
	}
}

func (f *logFlags) open(stderr io.Writer) (*serverLog, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, err // cannot happen: all choices are levels
	}
	log := newServerLog(stderr, f.format)
	log.toStderr(level)
	return log, nil
}

// A serverLog is the log of a server. It owns standard error until it is closed. A reader of
// standard error or of a log file that stops reading does not block the server.
//
// The error that ends the server is on standard error once: as a record if the log there is JSON,
// for log collectors, and otherwise as the last line of any failed command.
type serverLog struct {
	*slog.Logger
	format       string
	stderr       logQueue
	journal      bool           // standard error goes to systemd's journal
	queues       []logQueue     // of all outputs
	handlers     []slog.Handler // of files
	jsonOnStderr bool
}

// newServerLog returns a log without outputs, which toFile and toStderr add. The caller closes it.
func newServerLog(stderr io.Writer, format string) *serverLog {
	l := &serverLog{Logger: slog.New(slog.DiscardHandler), format: format, journal: cli.OnJournal(stderr)}
	l.stderr = l.queue(stderr, func() {}, l.journal)
	return l
}

// queue returns a queue in front of an output.
func (l *serverLog) queue(out io.Writer, ended func(), journal bool) logQueue {
	q := newLogQueue(out, ended, func(out io.Writer) slog.Handler { return newLogHandler(out, l.format, slog.LevelWarn, journal) })
	l.queues = append(l.queues, q)
	return q
}

// dropped returns the number of dropped lines of all outputs.
func (l *serverLog) dropped() (sum int64) {
	for _, q := range l.queues {
		sum += q.Dropped()
	}
	return sum
}

// toFile also logs to a file.
func (l *serverLog) toFile(name string, level slog.Level) error {
	file, err := openLog(name)
	if err != nil {
		return err
	}
	l.handlers = append(l.handlers, newLogHandler(l.queue(file, func() { file.Close() }, false), l.format, level, false))
	l.Logger = slog.New(slog.NewMultiHandler(l.handlers...))
	return nil
}

// toStderr also logs to standard error. It is called after toFile.
func (l *serverLog) toStderr(level slog.Level) {
	all := append(slices.Clip(l.handlers), newLogHandler(l.stderr, l.format, level, l.journal))
	l.Logger = slog.New(slog.NewMultiHandler(all...))
	l.jsonOnStderr = l.format != formatText
}

// close writes the queued lines, and gives up after logFlushTime.
func (l *serverLog) close() {
	limit, cancel := context.WithTimeout(context.Background(), logFlushTime)
	defer cancel()
	for _, q := range l.queues {
		q.Close(limit)
	}
}

// end logs how the server ended, with the signal if one canceled ctx. It returns err, marked as
// logged.
func (l *serverLog) end(ctx context.Context, err error) error {
	if err == nil {
		l.Info("Metric server stopped", signalAttr(ctx)...)
		return nil
	}
	if l.jsonOnStderr {
		l.Error("Metric server failed", "err", err)
	} else {
		slog.New(slog.NewMultiHandler(l.handlers...)).Error("Metric server failed", "err", err)
		_, _ = io.WriteString(l.stderr, cli.ErrorLine(programName, err, l.journal))
	}
	return cli.Logged(err)
}

// Formats of logs. The log collectors of Kubernetes parse the last one.
const (
	formatText    = "text"
	formatJSON    = "json"
	formatJSONK8s = "json-k8s"
)

// newLogHandler returns a handler for an output, which may be systemd's journal.
func newLogHandler(out io.Writer, format string, level slog.Level, journal bool) slog.Handler {
	if journal {
		line := &journalLine{out: out}
		return journalHandler{newLogHandler(line, format, level, false), line}
	}
	o := &slog.HandlerOptions{Level: level}
	if format == formatText {
		return slog.NewTextHandler(out, o)
	}
	o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
		switch {
		case a.Value.Kind() == slog.KindDuration:
			a.Value = slog.StringValue(a.Value.Duration().String()) // with a unit, as in the text format
		case len(groups) == 0 && a.Key == slog.MessageKey && format == formatJSONK8s:
			a.Key = "log"
		}
		return a
	}
	return slog.NewJSONHandler(out, o)
}

// Names of runsc's log files.
const (
	debugLogName     = "runsc.log.%TIMESTAMP%.%COMMAND%.txt" // in a directory
	logNameTimestamp = "20060102-150405.000000"
)

// openRunscLog returns the log that runsc's flags describe: errors go to --log, and everything goes
// to --debug-log or, without that, to standard error. The caller closes it.
func openRunscLog(conf *config.Config, stderr io.Writer) (*serverLog, error) {
	level := slog.LevelInfo
	if conf.Debug {
		level = slog.LevelDebug
	}
	log := newServerLog(stderr, cmp.Or(conf.LogFormat, formatText))
	var err error
	if conf.LogFilename != "" {
		err = log.toFile(conf.LogFilename, slog.LevelError)
	}
	if err == nil && conf.DebugLog != "" {
		err = log.toFile(debugLogPath(conf.DebugLog, time.Now()), level)
	}
	if err != nil {
		log.close()
		return nil, err
	}
	if conf.DebugLog == "" {
		log.toStderr(level)
	}
	return log, nil
}

func openLog(name string) (*os.File, error) {
	if dir := filepath.Dir(name); dir != "." {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("create directory of log file: %w", err)
		}
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log file: %w", err)
	}
	return f, nil
}

// debugLogPath returns the path of the log file for --debug-log, which is a directory if it ends in
// a slash.
func debugLogPath(pattern string, now time.Time) string {
	if strings.HasSuffix(pattern, "/") {
		pattern += debugLogName
	}
	return strings.NewReplacer("%TIMESTAMP%", now.Format(logNameTimestamp), "%COMMAND%", config.MetricServerCommand).Replace(pattern)
}
