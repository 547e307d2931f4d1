package main

import (
	"context"
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

func TestServe(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "one", MetricServer: "localhost:1"})
	w.start(simulate.Spec{ID: "two", MetricServer: "%RUNTIME_ROOT%/two"})
	w.start(simulate.Spec{ID: "silent", Uninstrumented: true})
	serves := func(flags, wantSandboxes, wantLog string) {
		t.Helper()
		s := w.serve("serve --root {root} --web.listen-address {socket} " + flags)
		page := s.page()
		for _, id := range []string{"one", "two", "silent"} {
			if got, want := strings.Contains(page, `sandbox="`+id+`"`), strings.Contains(wantSandboxes, id); got != want {
				t.Errorf("serve %s: that %s is served is %v", flags, id, got)
			}
		}
		if code := s.stop(); code != cli.ExitOK || s.out.String() != "" {
			t.Errorf("serve %s: exits with %d and says %q", flags, code, s.out.String())
		}
		said := s.err.String()
		contains(t, said, "level=INFO msg=Serving root="+w.root+" ", wantLog, " address="+w.socket+" version=")
		if !strings.HasSuffix(said, `level=INFO msg="Metric server stopped"`+"\n") {
			t.Errorf("serve %s does not say that it ends:\n%s", flags, said)
		}
		if _, err := os.Lstat(w.socket); !os.IsNotExist(err) {
			t.Errorf("serve %s leaves its socket: %v", flags, err)
		}
	}
	serves("", "one two silent", `sandboxes="every sandbox"`)
	serves("--runsc off", "one two", `sandboxes="every sandbox with a registration"`)
}

func TestServeFlags(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "a"})
	check := func(flags, want, lacks string, mode fs.FileMode) {
		t.Helper()
		s := w.serve("serve --web.listen-address {socket} " + flags)
		defer s.stop()
		page := s.page()
		contains(t, page, w.placeholders().Replace(want))
		if lacks != "" && strings.Contains(page, lacks) {
			t.Errorf("serve %s: %q is on the page", flags, lacks)
		}
		if info, err := os.Stat(w.socket); err != nil || info.Mode().Perm() != mode {
			t.Errorf("serve %s: the socket is %v, %v, want %v", flags, info, err, mode)
		}
	}
	check("--root {root}", "\nrunsc_fs_read_wait_seconds_total{", "runtime_root=", 0o660)
	check("--root {root} --metric-naming runsc --zero-counters off --web.socket-mode 0600", "\nrunsc_fs_opens{", "\nrunsc_fs_read_wait{", 0o600)
	check("--root {root} --metric-deny (go|process)_.* --zero-counters unimplemented_syscalls --web.socket-mode 777", `sysno="335"} 0`, "\ngo_", 0o777)
	check("--root {root} --metric-allow runsc_fs_opens.*", "\nsandmeter_num_sandboxes_running 1\n", "\nrunsc_fs_reads", 0o660)
	check("--root {dir}/r* --root {dir}/missing", `,runtime_root="{root}",sandbox="a"} 51`, "", 0o660)
	check("--root {dir}/missing", "sandmeter_num_sandboxes_running 0", "", 0o660)
}

func TestServeLog(t *testing.T) {
	w := newWorld(t)
	s := w.serve("serve --root {root} --web.listen-address {socket} --log.format json")
	w.until("it says that it serves", func() bool { return strings.HasSuffix(s.err.String(), "\n") })
	var line struct{ Level, Msg, Root, Address string }
	first, _, _ := strings.Cut(s.err.String(), "\n")
	w.must(json.Unmarshal([]byte(first), &line))
	if line.Level != "INFO" || line.Msg != "Serving" || line.Root != w.root || line.Address != w.socket {
		t.Errorf("it says %+v", line)
	}
	s.stop()

	quiet := w.serve("serve --root {root} --web.listen-address {socket} --log.level error")
	quiet.stop()
	if quiet.err.String() != "" {
		t.Errorf("with --log.level error it says %s", quiet.err.String())
	}
}

// TestServeLogsWhyItEnds: the error has the format of the log, and is never logged twice.
func TestServeLogsWhyItEnds(t *testing.T) {
	w := newWorld(t)
	w.must(os.WriteFile(w.path("file"), nil, 0o600))
	const why = "read runtime root {dir}/file: not a directory; set the runtime root with --root"
	w.fails("serve --root {dir}/file --web.listen-address {socket}", cli.ExitFail, why)

	logs := func(line string, wantCode int, want string) {
		t.Helper()
		code, out, said := w.command(line)
		var record struct{ Level, Msg, Err string }
		w.must(json.Unmarshal([]byte(said), &record))
		want = w.placeholders().Replace(want)
		if code != wantCode || out != "" || record.Level != "ERROR" || record.Msg != "Metric server failed" || record.Err != want || strings.Count(said, "\n") != 1 {
			t.Errorf("%s exits with %d and says %s%s", line, code, out, said)
		}
	}
	logs("serve --log.format json --root {dir}/file --web.listen-address {socket}", cli.ExitFail, why)
	logs("serve --log.format json --root {root} --usage detail", cli.ExitUsage, "usage: detail is in addition to own, cadvisor or both")
	logs("--log-format=json --root={dir}/file --metric-server={socket} metric-server", cli.ExitFail, why)
}

// TestServeOnTCP: the log has the address, even if the system chose the port.
func TestServeOnTCP(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(context.Background())
	var out, errs testkit.Buffer
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, w.words("serve --root {root} --web.listen-address 127.0.0.1:0"), cli.Stdio{Out: &out, Err: &errs})
	}()
	var url string
	w.until("it says where it serves", func() bool {
		url = regexp.MustCompile(`http://127\.0\.0\.1:\d+/metrics`).FindString(errs.String())
		return url != ""
	})
	defer http.DefaultClient.CloseIdleConnections()
	response, err := http.Get(url)
	w.must(err)
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("there is %s", response.Status)
	}
	cancel()
	if got := <-code; got != cli.ExitOK {
		t.Errorf("it exits with %d and says %s", got, errs.String())
	}
	address := strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/metrics")
	contains(t, errs.String(), " address="+address+" ", " url="+url+"\n")
}

// serveVariables has a value for each flag of serve, as an environment variable.
var serveVariables = map[string]string{
	"SANDMETER_RUNSC":                     "/some/runsc,/other/runsc",
	"SANDMETER_FINAL_METRICS_LOG":         "/some/%ID%",
	"SANDMETER_ROOT":                      "/some/root",
	"SANDMETER_WEB_LISTEN_ADDRESS":        "/some/socket,:1",
	"SANDMETER_WEB_CONFIG_FILE":           "/some/web.yml",
	"SANDMETER_WEB_SYSTEMD_SOCKET":        "true",
	"SANDMETER_WEB_TELEMETRY_PATH":        "/some/path",
	"SANDMETER_WEB_SOCKET_MODE":           "0600",
	"SANDMETER_WEB_ALLOWED_HOSTS":         "a.example,b.example",
	"SANDMETER_WEB_SOCKET_GROUP":          "some",
	"SANDMETER_METRIC_NAMING":             "runsc",
	"SANDMETER_WEB_ENABLE_REGISTRATION":   "true",
	"SANDMETER_ZERO_COUNTERS":             "all,weirdness",
	"SANDMETER_ALLOW_PROFILING":           "true",
	"SANDMETER_SANDBOX_TIMEOUT":           "3s",
	"SANDMETER_LINGER":                    "1h0m0s",
	"SANDMETER_MAX_AGE":                   "4s",
	"SANDMETER_MAX_SANDBOXES_WITH_SERIES": "9",
	"SANDMETER_METRIC_ALLOW":              "a{1,2}|b",
	"SANDMETER_METRIC_DENY":               "c{1,2}",
	"SANDMETER_FINAL_RECORDS":             "/some/records,max-size=8",
	"SANDMETER_USAGE":                     "cadvisor,detail",
	"SANDMETER_TOTALS_BY":                 "namespace",
	"SANDMETER_TOTALS_METRIC":             "fs_opens",
	"SANDMETER_LOG_LEVEL":                 "warn",
	"SANDMETER_LOG_FORMAT":                "json",
}

// TestServeVariables: an environment variable sets each flag, the flag takes precedence, and an
// invalid variable is an error with its name.
func TestServeVariables(t *testing.T) {
	cmd := newServeCommand(cli.Stdio{})
	if err := cmd.ParseFlags([]string{"--log.level=error"}); err != nil {
		t.Fatal(err)
	}
	for name, value := range serveVariables {
		t.Setenv(name, value)
	}
	if err := cli.FromEnv(cmd.Flags()); err != nil {
		t.Fatal(err)
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		want, known := serveVariables[cli.EnvName(f.Name)]
		switch f.Name {
		case "help":
			return
		case "log.level":
			want = "error"
		}
		if !known || f.Value.String() != want {
			t.Errorf("--%s is %q, want %q of %s", f.Name, f.Value, want, cli.EnvName(f.Name))
		}
	})
	t.Setenv("SANDMETER_SANDBOX_TIMEOUT", "soon")
	newWorld(t).fails("serve", cli.ExitUsage,
		`SANDMETER_SANDBOX_TIMEOUT "soon": give a number with a unit, such as 2s or 500ms`)
}
