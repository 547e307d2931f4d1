package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// says fails the test unless a command line succeeds with an output and nothing else.
func (w *world) says(line, want string) {
	w.Helper()
	if code, out, err := w.command(line); code != cli.ExitOK || out != strings.TrimPrefix(want, "\n") || err != "" {
		w.Errorf("sandmeter %s\nexits with %d and says\n%s%swant%s", line, code, out, err, want)
	}
}

func TestListServed(t *testing.T) {
	w := newWorld(t)
	line := "list --address {socket}"
	w.serve("serve --root {root} --web.listen-address {socket}")
	if code, out, err := w.command(line); code != cli.ExitOK || out != "" || err != "The server at "+w.socket+" serves no sandboxes.\n" {
		t.Errorf("list exits with %d and says %q, %q", code, out, err)
	}
	w.start(simulate.Spec{ID: "broken", PID: os.Getppid(), Pod: "web\x1b[31m", Namespace: "shop"})
	w.until("the server lists it", func() bool { _, out, _ := w.command(line); return strings.Contains(out, "failed (wrong_peer)\n") })
	_, document, _ := w.command(line + " --json")
	contains(t, document, `"pod": "web\u001b[31m"`, `"namespace": "shop"`, `"reason": "wrong_peer"`, `"pid": null`, `"snapshot_time": "20`)
}

// TestListSource checks whether list reads state files or the API of a server. Both variables may be set,
// because other commands use them.
func TestListSource(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "fine", PID: -1})
	w.serve("serve --root {root} --web.listen-address {socket}")
	const files, server = "METRIC SERVER\n", "METRICS\n"
	reads := func(line, want string) {
		t.Helper()
		if code, out, err := w.command(line); code != cli.ExitOK || !strings.Contains(out, want) {
			t.Errorf("%s exits with %d and says\n%s%swant %s", line, code, out, err, want)
		}
	}
	reads("list --root {root}", files)
	reads("list --address {socket}", server)
	t.Setenv("SANDMETER_ADDRESS", w.socket)
	reads("list", server)
	reads("list --root {root}", files)
	reads("list --address {socket}", server)
	t.Setenv("SANDMETER_ROOT", w.root)
	reads("list", files)
	reads("list --address {socket}", server)
	t.Setenv("SANDMETER_ADDRESS", "")
	reads("list", files)
	w.fails("list --address {socket} --root {root}", cli.ExitUsage,
		"--address lists the sandboxes of a server and --root those of a runtime root: leave one of them out")
	w.must(os.WriteFile(w.path("client.yml"), []byte("basic_auth: {username: me, password: secret}\n"), 0o600))
	w.fails("list --web.client-config.file {dir}/client.yml", cli.ExitUsage,
		"--web.client-config.file is for the connection to a server: give its address with --address")
	t.Setenv("SANDMETER_WEB_CLIENT_CONFIG_FILE", w.path("client.yml"))
	reads("list", files)
}

// TestListServedByDropIn: the error says which server has a list. See also TestWrongServer and
// TestSecuredServe.
func TestListServedByDropIn(t *testing.T) {
	w := newWorld(t)
	w.serve("--metric-server={socket} --root={root} metric-server")
	w.fails("list --address {socket}", cli.ExitFail,
		"sandboxes of the metric server at {socket}: the server has no JSON API: the answer is 404 Not Found: path not found; "+
			"sandmeter serve has it, metric-server does not; list --root reads state files instead")
}

// serveBody responds to each request with the body as it is then.
func (w *world) serveBody(body *string) {
	w.Helper()
	listener, err := net.Listen("unix", w.socket)
	w.must(err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, *body) })}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	w.Cleanup(func() {
		server.Close()
		<-ended
	})
}

// TestListServedEnds: the state of a sandbox that has ended is how it ended, and a sandbox without
// series is marked.
func TestListServedEnds(t *testing.T) {
	w := newWorld(t)
	body := `{"sandboxes": [
		{"id": "again", "state": "stopped", "query_status": "not_running", "outcome": "exited", "exit_code": 0},
		{"id": "again", "state": "running", "query_status": "ok", "outcome": null, "hidden": null},
		{"id": "code", "state": "stopped", "query_status": "not_running", "outcome": "failed", "exit_code": 137},
		{"id": "gone", "state": "stopped", "query_status": "not_running", "outcome": "vanished"},
		{"id": "many", "state": "running", "query_status": "ok", "hidden": "series_limit"},
		{"id": "memory", "state": "stopped", "query_status": "not_running", "outcome": "oom_killed", "signal": 9},
		{"id": "off", "state": "running", "query_status": "ok", "outcome": "unregistered", "hidden": "unregistered"},
		{"id": "signal", "state": "stopped", "query_status": "not_running", "outcome": "killed", "signal": 9},
		{"id": "text", "state": "stopped", "query_status": "not_running", "outcome": "\u001b[31m", "exit_code": 1, "hidden": "\u001b[31m"}
	]}`
	w.serveBody(&body)
	w.says("list --address {socket}", `
SANDBOX  NAMESPACE  POD  STATE           PID  CONTAINERS  CREATED (UTC)  METRICS
again    -          -    exited          -    0           -              not running
again    -          -    running         -    0           -              ok
code     -          -    failed (137)    -    0           -              not running
gone     -          -    vanished        -    0           -              not running
many     -          -    running         -    0           -              hidden (series_limit)
memory   -          -    oom_killed      -    0           -              not running
off      -          -    unregistered    -    0           -              hidden (unregistered)
signal   -          -    killed (9)      -    0           -              not running
text     -          -    "\x1b[31m" (1)  -    0           -              hidden ("\x1b[31m")
`)
}

// TestListServedTexts: no text of a server reaches the output raw, whatever listens there.
func TestListServedTexts(t *testing.T) {
	w := newWorld(t)
	var body string
	w.serveBody(&body)
	const nasty = `\u001b[31m\n\u202e`
	body = `{"sandboxes": [{"id": "a` + nasty + "\xff" + `", "pod": "` + nasty + `", "namespace": null, "state": "` + nasty + `", "runtime_root": "` + nasty + `",
		"query_status": "` + nasty + `", "reason": "` + nasty + `", "later": "` + nasty + `\u009b"}, {"id": "b", "query_status": "maybe"}]}`
	const shown = `"\x1b[31m\n\u202e"`
	w.says("list --address {socket}", `
SANDBOX               NAMESPACE  POD                 STATE               PID  CONTAINERS  CREATED (UTC)  METRICS                                  RUNTIME ROOT
"a\x1b[31m\n\u202e`+"\uFFFD"+`"  -          `+shown+`  `+shown+`  -    0           -              `+shown+` (`+shown+`)  `+shown+`
b                     -          -                   -                   -    0           -              maybe                                    -
`)
	_, array, _ := w.command("list --address {socket} --json")
	contains(t, array, `"later": "\u001b[31m\n\u202e\u009b"`)
	wantPrintable(t, array)
	for _, body = range []string{`{}`, `[]`, `{"sandboxes": null}`, `{"sandboxes": [{"id": 1}]}`, `{"sandboxes": []} more`, "\x1b[31m"} {
		for _, flags := range []string{"", " --json"} {
			w.fails("list --address {socket}"+flags, cli.ExitFail,
				"the server at {socket} sent something other than a list of sandboxes; give the address of the metric server with --address")
		}
	}
}

// TestShortenIDs: equal IDs and IDs that are not ASCII.
func TestShortenIDs(t *testing.T) {
	check := func(ids []string, want ...string) {
		t.Helper()
		var rows [][]string
		for _, id := range ids {
			rows = append(rows, []string{id})
		}
		shortenIDs(rows)
		for i, row := range rows {
			if row[0] != want[i] {
				t.Errorf("%q becomes %q, want %q", ids[i], row[0], want[i])
			}
		}
	}
	const digits = "0123456789"
	check([]string{digits + "abc", digits + "abc"}, digits+"ab", digits+"ab")
	check([]string{digits + "abc", digits + "abd", "x"}, digits+"abc", digits+"abd", "x")
	check([]string{digits + "äöü"}, digits+"äö")
	check([]string{digits, digits + "äöü"}, digits, digits+"äö")
}
