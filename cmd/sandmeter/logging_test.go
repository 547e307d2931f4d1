package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
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

// TestRunscLog checks the destination and the format of log messages. The error that ends the server is on
// standard error once, as a record if the log there is JSON, and files always have it.
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
		log, err := openRunscLog(&conf, &stderr)
		w.must(err)
		log.Debug("d")
		log.Info("i")
		log.Warn("w", "why", "two\nlines\x1b")
		end := log.end(t.Context(), errors.New("end"))
		log.close()
		if !errors.As(end, new(cli.LoggedError)) || end.Error() != "end" {
			t.Errorf("%+v: the end is %#v", conf, end)
		}
		wrote := func(what, got, want string) {
			got = strings.ReplaceAll(got, `msg="Metric server failed"`, "msg=failed")
			if got = regexp.MustCompile(`"?time"?[:=][^ ,]+[ ,]`).ReplaceAllString(got, ""); got != want {
				t.Errorf("%+v writes to %s\n%s\nwant\n%s", conf, what, got, want)
			}
		}
		wrote("standard error", stderr.String(), wantErr)
		for path, want := range map[string]string{conf.LogFilename: wantLog, conf.DebugLog: wantDebugLog} {
			if path != "" {
				text, err := os.ReadFile(path)
				w.must(errors.Join(err, os.Remove(path)))
				wrote(path, string(text), want)
			}
		}
	}
	const (
		d    = "level=DEBUG msg=d\n"
		iw   = "level=INFO msg=i\n" + `level=WARN msg=w why="two\nlines\x1b"` + "\n"
		line = "sandmeter: end\n"
		end  = "level=ERROR msg=failed err=end\n"
		je   = `{"level":"ERROR","msg":"Metric server failed","err":"end"}` + "\n"
		ke   = `{"level":"ERROR","log":"Metric server failed","err":"end"}` + "\n"
		j    = `{"level":"INFO","msg":"i"}` + "\n" + `{"level":"WARN","msg":"w","why":"two\nlines\u001b"}` + "\n" + je
		k    = `{"level":"INFO","log":"i"}` + "\n" + `{"level":"WARN","log":"w","why":"two\nlines\u001b"}` + "\n" + ke
	)
	check(config.Config{}, iw+line, "", "")
	check(config.Config{Debug: true}, d+iw+line, "", "")
	check(config.Config{LogFormat: "json"}, j, "", "")
	check(config.Config{LogFormat: "json-k8s"}, k, "", "")
	check(config.Config{LogFilename: "log"}, iw+line, end, "")
	check(config.Config{LogFilename: "log", LogFormat: "json"}, j, je, "")
	check(config.Config{DebugLog: "new/folder/debug", Debug: true}, line, "", d+iw+end)
	check(config.Config{LogFilename: "log", DebugLog: "debug", LogFormat: "json-k8s"}, line, ke, k)
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

// TestLogFlags: each level logs what is at least as bad.
func TestLogFlags(t *testing.T) {
	for i, name := range []string{"debug", "info", "warn", "error"} {
		var out bytes.Buffer
		log, err := (&logFlags{name, formatJSON}).open(&out)
		if err != nil {
			t.Fatal(err)
		}
		for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			log.Log(t.Context(), level, "here")
		}
		log.close()
		if lines := strings.Count(out.String(), `"msg":"here"}`); lines != 4-i {
			t.Errorf("--log.level=%s writes\n%s", name, &out)
		}
	}
}
