package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
)

func TestDebugLogPath(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 12, 52, 743744391, time.UTC)
	check := func(pattern, want string) {
		t.Helper()
		if got := debugLogPath(pattern, now); got != want {
			t.Errorf("--debug-log=%s is %s, want %s", pattern, got, want)
		}
	}
	check("/logs/", "/logs/runsc.log.20261122-091252.743744.metric-server.txt")
	check("/logs/log", "/logs/log")
	check("/logs/%COMMAND%/", "/logs/metric-server/runsc.log.20261122-091252.743744.metric-server.txt")
	check("/logs/%TIMESTAMP%.%COMMAND%.%COMMAND%", "/logs/20261122-091252.743744.metric-server.metric-server")
	check("%ID%", "%ID%")
}

// TestRunscLog checks the destination and the format of log messages.
func TestRunscLog(t *testing.T) {
	w := newWorld(t)
	check := func(conf config.Config, wantErr, wantLog, wantDebugLog string) {
		t.Helper()
		for _, p := range []*string{&conf.LogFilename, &conf.DebugLog} {
			if *p != "" {
				*p = w.path(*p)
			}
		}
		var stderr bytes.Buffer
		logger, err := openRunscLog(&conf, &stderr)
		w.must(err)
		logger.Debug("d")
		logger.Info("i")
		logger.Error("e", "err", "two\nlines\x1b")
		logger.close()
		wrote := func(what, got, want string) {
			got = regexp.MustCompile(`("?time"?[:=])[^ ,]+`).ReplaceAllString(got, "${1}T")
			if got != want {
				t.Errorf("%+v writes to %s\n%s\nwant\n%s", conf, what, got, want)
			}
		}
		wrote("standard error", stderr.String(), wantErr)
		for path, want := range map[string]string{conf.LogFilename: wantLog, conf.DebugLog: wantDebugLog} {
			if path == "" {
				continue
			}
			text, err := os.ReadFile(path)
			w.must(err)
			wrote(path, string(text), want)
			w.must(os.Remove(path))
		}
	}
	const (
		d = "time=T level=DEBUG msg=d\n"
		i = "time=T level=INFO msg=i\n"
		e = `time=T level=ERROR msg=e err="two\nlines\x1b"` + "\n"

		ji = `{"time":T,"level":"INFO","msg":"i"}` + "\n"
		je = `{"time":T,"level":"ERROR","msg":"e","err":"two\nlines\u001b"}` + "\n"

		ki = `{"time":T,"level":"INFO","log":"i"}` + "\n"
		ke = `{"time":T,"level":"ERROR","log":"e","err":"two\nlines\u001b"}` + "\n"
	)
	check(config.Config{}, i+e, "", "")
	check(config.Config{Debug: true}, d+i+e, "", "")
	check(config.Config{LogFormat: "text"}, i+e, "", "")
	check(config.Config{LogFormat: "json"}, ji+je, "", "")
	check(config.Config{LogFormat: "json-k8s"}, ki+ke, "", "")
	check(config.Config{LogFilename: "log"}, i+e, e, "")
	check(config.Config{DebugLog: "debug"}, "", "", i+e)
	check(config.Config{DebugLog: "new/folder/debug", Debug: true}, "", "", d+i+e)
	check(config.Config{LogFilename: "log", DebugLog: "debug", Debug: true, LogFormat: "json-k8s"}, "", ke,
		`{"time":T,"level":"DEBUG","log":"d"}`+"\n"+ki+ke)
}

// TestRunscLogOfTheEnd: the error that ends a server is on standard error once, as a record if the
// log there is JSON. Log files always have it.
func TestRunscLogOfTheEnd(t *testing.T) {
	w := newWorld(t)
	check := func(conf config.Config, wantStderr, wantFile string) {
		t.Helper()
		var stderr bytes.Buffer
		log, err := openRunscLog(&conf, &stderr)
		w.must(err)
		end := log.end(t.Context(), errors.New("why"))
		log.close()
		if !errors.As(end, new(cli.LoggedError)) || end.Error() != "why" {
			t.Errorf("%+v: the end is %#v", conf, end)
		}
		var file []byte
		if path := cmp.Or(conf.DebugLog, conf.LogFilename); path != "" {
			file, err = os.ReadFile(path)
			w.must(errors.Join(err, os.Remove(path)))
		}
		for _, c := range []struct{ got, want string }{{stderr.String(), wantStderr}, {string(file), wantFile}} {
			if got := regexp.MustCompile(`("?time"?[:=])[^ ,]+[ ,]`).ReplaceAllString(c.got, ""); got != c.want {
				t.Errorf("%+v: logged is %q, want %q", conf, got, c.want)
			}
		}
	}
	const (
		text = `level=ERROR msg="Metric server failed" err=why` + "\n"
		json = `{"level":"ERROR","msg":"Metric server failed","err":"why"}` + "\n"
		k8s  = `{"level":"ERROR","log":"Metric server failed","err":"why"}` + "\n"
	)
	const line = "sandmeter: why\n"
	check(config.Config{}, line, "")
	check(config.Config{LogFormat: "json"}, json, "")
	check(config.Config{LogFormat: "json-k8s"}, k8s, "")
	check(config.Config{LogFilename: w.path("log")}, line, text)
	check(config.Config{LogFilename: w.path("log"), LogFormat: "json"}, json, json)
	check(config.Config{DebugLog: w.path("log")}, line, text)
	check(config.Config{DebugLog: w.path("log"), LogFormat: "json"}, line, json)
}

// TestLogIsAppendedTo: a server that restarts keeps the previous log.
func TestLogIsAppendedTo(t *testing.T) {
	w := newWorld(t)
	conf := config.Config{DebugLog: w.path("log")}
	for range 2 {
		logger, err := openRunscLog(&conf, nil)
		w.must(err)
		logger.Info("here")
		logger.close()
	}
	text, err := os.ReadFile(conf.DebugLog)
	w.must(err)
	if strings.Count(string(text), "msg=here") != 2 {
		t.Errorf("the log is\n%s", text)
	}
}

func TestLogFlags(t *testing.T) {
	logs := func(f logFlags, level slog.Level) bool {
		t.Helper()
		logger, err := f.open(new(bytes.Buffer))
		if err != nil {
			t.Fatal(err)
		}
		defer logger.close()
		return logger.Enabled(t.Context(), level)
	}
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	for i, name := range []string{"debug", "info", "warn", "error"} {
		for j, level := range levels {
			if got := logs(logFlags{name, formatText}, level); got != (j >= i) {
				t.Errorf("--log.level=%s: that %v is logged is %v", name, level, got)
			}
		}
	}
	var out bytes.Buffer
	logger, err := (&logFlags{"INFO", formatJSON}).open(&out)
	if err != nil {
		t.Fatal(err)
	}
	logger.Info("here")
	logger.close()
	if !json.Valid(out.Bytes()) {
		t.Errorf("--log.format=json writes %s", out.String())
	}
}

// theFile returns the content of the only file in a directory.
func (w *world) theFile(dir string) string {
	w.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	w.must(err)
	if len(files) != 1 {
		w.Fatalf("in %s are %q", dir, files)
	}
	text, err := os.ReadFile(files[0])
	w.must(err)
	return string(text)
}
