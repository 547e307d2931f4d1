package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
)

// logFlags are the flags for logs, named as Prometheus and its exporters name them.
type logFlags struct{ level, format string }

func (f *logFlags) register(cmd *cobra.Command) {
	choice := func(value *string, name, def, usage string, choices ...string) {
		cmd.Flags().StringVar(value, name, def, usage+strings.Join(choices, ", "))
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp))
	}
	choice(&f.level, "log.level", "info", "log messages of this `level` and above: ", "debug", "info", "warn", "error")
	choice(&f.format, "log.format", formatText, "`format` of log messages: ", formatText, formatJSON)
}

func (f *logFlags) open(stderr io.Writer) (*serverLog, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, cli.Usagef("--log.level %q: choose debug, info, warn or error", f.level)
	}
	if f.format != formatText && f.format != formatJSON {
		return nil, cli.Usagef("--log.format %q: choose text or json", f.format)
	}
	return newServerLog(newLogHandler(stderr, f.format, level)), nil
}

// serverLog is the log of a server. Standard error has the error that ends the server once: as a record where the log there is JSON, for
// those who collect that, and else as the line that any command ends with.
type serverLog struct {
	*slog.Logger
	fatal *slog.Logger // all of it but text on standard error
	json  bool         // on standard error
}

// newServerLog returns the log that goes to files and, unless that is nil, to standard error.
func newServerLog(stderr slog.Handler, files ...slog.Handler) *serverLog {
	all, fatal := files, files
	if stderr != nil {
		all = slices.Concat(files, []slog.Handler{stderr})
	}
	_, isJSON := stderr.(*slog.JSONHandler)
	if isJSON {
		fatal = all
	}
	return &serverLog{slog.New(slog.NewMultiHandler(all...)), slog.New(slog.NewMultiHandler(fatal...)), isJSON}
}

// end logs how the server ended, and returns the error as main is to take it.
func (l *serverLog) end(err error) error {
	if err == nil {
		l.Info("Metric server ends, as it was told")
		return nil
	}
	l.fatal.Error("Metric server ends", "err", err)
	if l.json {
		return cli.Logged(err)
	}
	return err
}

// Formats of logs. The last is one that log collectors of Kubernetes take apart.
const (
	formatText    = "text"
	formatJSON    = "json"
	formatJSONK8s = "json-k8s"
)

func newLogHandler(out io.Writer, format string, level slog.Level) slog.Handler {
	o := &slog.HandlerOptions{Level: level}
	switch format {
	case formatJSON:
		return slog.NewJSONHandler(out, o)
	case formatJSONK8s:
		o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.MessageKey {
				a.Key = "log"
			}
			return a
		}
		return slog.NewJSONHandler(out, o)
	}
	return slog.NewTextHandler(out, o)
}

// Names of runsc's log files.
const (
	debugLogName     = "runsc.log.%TIMESTAMP%.%COMMAND%.txt" // in a directory
	logNameTimestamp = "20060102-150405.000000"
)

// openRunscLog returns the log that runsc's flags describe: errors to --log, and everything to --debug-log, else to standard error. The
// caller calls closeLog.
func openRunscLog(conf *config.Config, stderr io.Writer) (log *serverLog, closeLog func(), err error) {
	level := slog.LevelInfo
	if conf.Debug {
		level = slog.LevelDebug
	}
	var handlers []slog.Handler // of files
	var onStderr slog.Handler
	var files []*os.File
	closeAll := func() {
		for _, f := range files {
			f.Close()
		}
	}
	add := func(name string, level slog.Level) error {
		f, err := openLog(name)
		if err != nil {
			return err
		}
		files = append(files, f)
		handlers = append(handlers, newLogHandler(f, conf.LogFormat, level))
		return nil
	}
	if conf.LogFilename != "" {
		err = add(conf.LogFilename, slog.LevelError)
	}
	switch {
	case err != nil:
	case conf.DebugLog != "":
		err = add(debugLogPath(conf.DebugLog, time.Now()), level)
	default:
		onStderr = newLogHandler(stderr, conf.LogFormat, level)
	}
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	return newServerLog(onStderr, handlers...), closeAll, nil
}

func openLog(name string) (*os.File, error) {
	if dir := filepath.Dir(name); dir != "." {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("directory for the log: %w", err)
		}
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return f, nil
}

// debugLogPath is the path of the log for a --debug-log, which is a directory when it ends in a slash.
func debugLogPath(pattern string, now time.Time) string {
	if strings.HasSuffix(pattern, "/") {
		pattern += debugLogName
	}
	return strings.NewReplacer("%TIMESTAMP%", now.Format(logNameTimestamp), "%COMMAND%", config.MetricServerCommand).Replace(pattern)
}
