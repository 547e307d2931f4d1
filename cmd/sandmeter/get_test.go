package main

import (
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

func TestGet(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "a", Points: []simulate.Point{{Metric: "fs_opens", Int: 9007199254740993}, {Metric: "fs_reads", Int: 2}}})
	w.start(simulate.Spec{ID: "b", Pod: "\x1b[31mred\u202e", Points: []simulate.Point{{Metric: "fs_opens", Int: 3}}})
	w.serve("serve --root {root} --web.listen-address {socket}")
	names := func(line string, want ...string) {
		t.Helper()
		code, out, err := w.command("get --address {socket} " + line)
		if code != cli.ExitOK || err != "" {
			t.Fatalf("get %s exits with %d and says %s", line, code, err)
		}
		var got []string
		for l := range strings.Lines(out) {
			if !strings.HasPrefix(l, "#") {
				got = append(got, l[:strings.IndexAny(l, "{ ")])
			} else if !regexp.MustCompile("^# (HELP|TYPE) (runsc|sandmeter)_").MatchString(l) {
				t.Errorf("get %s has %s", line, l)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("get %s: samples of %q, want %q", line, got, want)
		}
	}
	names("--filter ^fs_opens$", "runsc_fs_opens_total", "runsc_fs_opens_total")
	names("--filter ^fs_ --sandbox a", "runsc_fs_opens_total", "runsc_fs_read_wait_seconds_total", "runsc_fs_reads_total")
	names("--filter ^sandmeter_num_sandboxes_r", "sandmeter_num_sandboxes_restored", "sandmeter_num_sandboxes_running")

	_, out, _ := w.command("get --address {socket} --filter ^fs_opens$ --json")
	contains(t, out, `"value": "9007199254740993"`, `"pod_name": "\u001b[31mred\u202e"`)

	nothing := func(flags, want string) {
		t.Helper()
		line := "get --address {socket} " + flags
		w.fails(line, cli.ExitFail, want)
		code, out, err := w.command(line + " --json")
		if want = "sandmeter: " + w.placeholders().Replace(want) + "\n"; code != cli.ExitFail || out != "[]\n" || err != want {
			t.Errorf("%s --json exits with %d and says %s%s", line, code, out, err)
		}
	}
	const prefix = `; filters match names as runsc registers them, without the prefix and without _total`
	const notThere = `the server at {socket} does not serve sandbox "nobody"; sandmeter list shows all sandboxes, and which have metrics`
	nothing("--filter ^sandmeter_num --sandbox a", `no metric matches --filter "^sandmeter_num"`+prefix)
	nothing("--filter ^runsc_", `no metric matches --filter "^runsc_"`+prefix)
	nothing("--sandbox nobody", notThere)
	nothing("--sandbox nobody --filter ^fs_", notThere)
	w.start(simulate.Spec{ID: "bc1", Pod: `{sandbox="never",sandbox="never"`})
	names("--filter ^fs_opens$ --sandbox bc", "runsc_fs_opens_total")
	names("--filter ^fs_opens$ --sandbox b", "runsc_fs_opens_total") // the equal one
	w.start(simulate.Spec{ID: "bc2"})
	w.fails("get --address {socket} --sandbox bc --json", cli.ExitFail, `ID "bc" is ambiguous: it matches bc1, bc2; give a longer prefix`)

	w.fails("get --address {dir}/nobody", cli.ExitFail, "metrics of the metric server at {dir}/nobody: nothing listens: connect: no such file or directory; start one with sandmeter serve, or give its address with --address")
}

// TestWrongServer: all clients give the same advice.
func TestWrongServer(t *testing.T) {
	w := newWorld(t)
	listener, err := net.Listen("unix", w.socket)
	w.must(err)
	replies := make(chan string, 1)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 64<<10))
			reply := <-replies
			replies <- reply
			_, _ = io.WriteString(conn, reply)
			conn.Close()
		}
	})
	defer serving.Wait()
	defer listener.Close()
	check := func(reply, want string) {
		t.Helper()
		replies <- reply
		for _, line := range []string{"get", "health", "list"} {
			if code, out, said := w.command(line + " --address {socket}"); code != cli.ExitFail || out != "" || !strings.HasSuffix(said, want+"\n") {
				t.Errorf("%s of %q exits with %d and says %s%s", line, reply, code, out, said)
			}
		}
		<-replies
	}
	const elsewhere = "; give the address of the metric server with --address"
	check("HTTP/1.0 404 Not Found\r\n\r\n<html>\n", "404 Not Found: <html>"+elsewhere)
	check("HTTP/1.0 200 OK\r\n\r\n<html>\n", elsewhere)
	check("220 no web here\r\n", elsewhere)
	check("", elsewhere)
	check("HTTP/1.0 503 Service Unavailable\r\n\r\nserver is shutting down\n", "the metric server is shutting down; try again")
}

// TestAdvice covers an error that root never gets.
func TestAdvice(t *testing.T) {
	err := advised(fmt.Errorf("connect: %w", syscall.EACCES))
	const want = "connect: permission denied; the Unix socket of a server has mode 0660: run this as root, or start the server with a --web.socket-group that you belong to"
	if err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
