package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/simulate"
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
	t.Setenv("SANDMETER_ROOT", w.root)
	check("", `sandbox="a"} 51`, "", 0o660)
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
