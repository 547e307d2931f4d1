package main

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// TestWrongUsage: every usage error exits with 2 and one line that says what to do. The packages cli, config and
// metricserver test which values are wrong.
func TestWrongUsage(t *testing.T) {
	w := newWorld(t)
	wrong := func(line, want string) {
		t.Helper()
		w.fails(line, cli.ExitUsage, want)
	}
	const runscFlags = "; put runsc's flags before the word metric-server; try: sandmeter metric-server --help"
	const forms = ": give host:port, :port or the absolute path of a Unix socket"
	const forSockets = "web.socket-mode and web.socket-group are for a Unix socket: leave them out, or listen on its absolute path"
	const tryServe, tryList = "; try: sandmeter serve --help", "; try: sandmeter list --help"
	wrong("serv", `unknown command "serv" for "sandmeter"; Did you mean this? serve; try: sandmeter --help`)
	wrong("-x", "unknown shorthand flag: 'x' in -x; try: sandmeter --help")
	wrong("--version nonsense", `unknown command "nonsense" for "sandmeter"; try: sandmeter --help`)

	wrong("list --root", "flag needs an argument: --root; try: sandmeter list --help")
	wrong("list --root {root} --root {root}", `--root "{root}": given twice`+tryList)
	wrong("get --filter [z-a]", "--filter \"[z-a]\": error parsing regexp: invalid character class range: `z-a`; try: sandmeter get --help")
	wrong("get --sandbox=", `--sandbox "": give an ID, or leave the flag out for all sandboxes; try: sandmeter get --help`)
	wrong("health --root=", `--root "": give a path; try: sandmeter health --help`)
	const oneID = "export requires one ID; sandmeter list shows the IDs of sandboxes; try: sandmeter export --help"
	wrong("export", oneID)
	wrong("export a b", oneID)
	for _, client := range []string{"get", "health", "list", "doctor"} {
		wrong(client+" --address localhost", `--address "localhost"`+forms+"; try: sandmeter "+client+" --help")
		wrong(client+" nonsense", `unknown command "nonsense" for "sandmeter `+client+`"; try: sandmeter `+client+" --help")
	}

	wrong("serve --metric-server=x", "unknown flag: --metric-server"+tryServe)
	wrong("serve --usage-detail", "unknown flag: --usage-detail: use --usage=own,detail"+tryServe)
	wrong("serve --usage=off,own", "usage: off excludes other values")
	wrong("serve --final-records a --final-records b", `--final-records "b": given twice`+tryServe)
	wrong("serve --web.listen-address :0 --web.listen-address nonsense", `--web.listen-address "nonsense"`+forms+tryServe)
	wrong("serve --web.listen-address :0 --web.systemd-socket", "--web.systemd-socket serves on the sockets of systemd: leave out --web.listen-address")
	wrong("serve --web.systemd-socket --web.socket-group=0", forSockets)
	wrong("serve --web.socket-mode=0600", forSockets)
	wrong("--metric-server=:0 metric-server -web.socket-group=0", forSockets)
	wrong("serve --log.level=loud", `--log.level "loud": choose debug, info, warn or error`+tryServe)
	wrong("serve --log.format=json-k8s", `--log.format "json-k8s": choose text or json`+tryServe)

	const noAddress = "no address to listen on: give --metric-server=ADDRESS before the word metric-server"
	wrong("metric-server", noAddress)
	wrong("--root --metric-server metric-server", noAddress)
	wrong("--metric-server=nonsense metric-server", `--metric-server "nonsense"`+forms)
	wrong("--metric-server={socket} metric-server nonsense", `unknown command "nonsense" for "sandmeter metric-server"; try: sandmeter metric-server --help`)
	wrong("--metric-server={socket} metric-server -exporter-prefix", "flag needs an argument: --exporter-prefix"+runscFlags)
	wrong("metric-server --root=/r", "unknown flag: --root"+runscFlags)
	wrong("--metric-server={socket} metric-server -allow-unknown-root=maybe", `--allow-unknown-root "maybe": give true or false`+runscFlags)
	wrong("--debug=maybe metric-server", `runsc flags: --debug does not take "maybe": write --debug=true|false`)
}

// TestFailures: every failure exits with 1 and one line that says what to do.
func TestFailures(t *testing.T) {
	w := newWorld(t)
	w.must(os.WriteFile(w.path("file"), nil, 0o644))
	inUse, err := net.Listen("unix", w.path("live"))
	w.must(err)
	defer inUse.Close()
	fails := func(line, want string) {
		t.Helper()
		w.fails(line, cli.ExitFail, want)
	}
	const rootFlag = "; set the runtime root with --root"
	const rootFlags = rootFlag + ", or allow a missing one with --allow-unknown-root"
	const another = ": end the program that listens there, or choose another address"

	fails("list --root {dir}/missing", "read runtime root {dir}/missing: no such file or directory; set the runtime root with --root")
	fails("list --root {dir}/file", "read runtime root {dir}/file: not a directory; set the runtime root with --root")
	fails("health --web.client-config.file {dir}/missing", "client configuration file {dir}/missing: open {dir}/missing: no such file or directory")

	fails("serve --web.listen-address {socket} --root {dir}/file", "read runtime root {dir}/file: not a directory"+rootFlag)
	fails("serve --root {root} --web.listen-address {dir}/live", "listen on {dir}/live: address already in use"+another)
	fails("serve --root {root} --web.listen-address {dir}/file", "listen on {dir}/file: a file that is not a socket is there: remove it, or choose another address")
	fails("serve --root {root} --web.listen-address {socket} --final-records {dir}/missing/records",
		"final records: open {dir}/missing/records: no such file or directory; name a file in a directory that exists and that the server can write")
	// Not the root is missing here, so there is no advice about the root.
	fails("serve --root {root} --web.listen-address {dir}/missing/socket", "listen on {dir}/missing/socket: open {dir}/missing: no such file or directory: create the directory, or choose another address")
	fails("serve --root {root} --web.listen-address {socket} --web.socket-group no-such-group",
		`listen on {socket}: there is no group "no-such-group" for the socket: name one that exists, or its number`)

	fails("--metric-server={socket} --root={dir}/missing metric-server", "read runtime root {dir}/missing: no such file or directory"+rootFlags)
	fails("--metric-server={socket} --root={root} --debug-log={dir}/file/log/ metric-server", "create directory of log file: mkdir {dir}/file: not a directory")
	fails("--metric-server={socket} --root={root} --log={root} metric-server", "open log file: open {root}: is a directory")

	fails("export --root {dir}/missing a", "read runtime root {dir}/missing: no such file or directory"+rootFlag)
	if _, err := os.Lstat(w.socket); !os.IsNotExist(err) {
		t.Errorf("one of them left a socket: %v", err)
	}
}

// TestHelp: each command has help with an example, in every way to ask for it.
func TestHelp(t *testing.T) {
	w := newWorld(t)
	same := func(want string, lines ...string) {
		t.Helper()
		for _, line := range lines {
			if code, got, err := w.command(line); code != cli.ExitOK || err != "" || got != want {
				t.Errorf("%s exits with %d and says %q%s, want\n%s", line, code, err, got, want)
			}
		}
	}
	_, all, _ := w.command("--help")
	same(all, "", "help", "-h")
	for _, c := range newRootCommand(new(config.Config), cli.Stdio{}).Commands() {
		if !c.Hidden {
			_, help, _ := w.command("help " + c.Name())
			contains(t, help, "Examples:\n"+c.Example)
			contains(t, all, "\n  "+c.Name()+" ")
			same(help, c.Name()+" --help", c.Name()+" -h")
		}
	}
}

func TestVersion(t *testing.T) {
	w := newWorld(t)
	code, out, err := w.command("version")
	words := strings.Fields(out)
	if code != cli.ExitOK || err != "" || len(words) != 5 || words[0] != "sandmeter" || words[1] != "version" || words[3] != "("+runtime.Version()+"," || words[4] != runtime.GOOS+"/"+runtime.GOARCH+")" {
		t.Errorf("exits with %d and says %q, %q", code, out, err)
	}
	defer func(v string) { version = v }(version)
	version = "1.2.3"
	for _, line := range []string{"version", "--version"} {
		if code, out, err := w.command(line); code != cli.ExitOK || err != "" || !strings.HasPrefix(out, "sandmeter version 1.2.3 (") {
			t.Errorf("%s of a release exits with %d and says %q, %q", line, code, out, err)
		}
	}
}

// TestFullDevice: output that cannot be written is a failure.
func TestFullDevice(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "a"})
	w.serve("serve --root {root} --web.listen-address {socket}")
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	w.must(err)
	defer full.Close()
	for _, line := range []string{
		"", "completion bash", "version", "--version", "health --address {socket} --root {root}", "get --address {socket}", "list --root {root}", "export --root {root} a", "man",
	} {
		var errs testkit.Buffer
		if code := run(t.Context(), w.words(line), cli.Stdio{Out: full, Err: &errs}); code != cli.ExitFail || !strings.HasSuffix(errs.String(), "write /dev/full: no space left on device\n") {
			t.Errorf("%s exits with %d and says %s", line, code, &errs)
		}
	}
}

// TestRootsOfPeople: different spellings of a directory are the same root.
func TestRootsOfPeople(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "a"})
	t.Chdir(w.dir)
	w.serve("serve --root ./root/ --web.listen-address {socket}")
	for _, root := range []string{"root", "root/", "{root}", "{root}//", "../" + filepath.Base(w.dir) + "/root"} {
		for _, line := range []string{"health --address {socket} --root ", "list --root ", "export a --root "} {
			if code, out, err := w.command(line + root); code != cli.ExitOK || out == "" || err != "" {
				t.Errorf("%s%s exits with %d and says %q, %q", line, root, code, out, err)
			}
		}
	}
	_, out, _ := w.command("health --address {socket} --root root/")
	contains(t, out, "serves "+w.root+".\n")

	// metric-server uses the root as written, and clients may write it as runsc's user did.
	w.socket = w.path("other")
	s := w.serve("--root={root}/ --metric-server={socket} metric-server")
	w.until("it says which root it serves", func() bool { return strings.Contains(s.err.String(), " root="+w.root+"/ ") })
	if code, _, err := w.command("health --address {socket} --root root"); code != cli.ExitOK {
		t.Error(err)
	}
}

// TestCompletion checks the completions that shells get.
func TestCompletion(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "a", More: []simulate.Container{{ID: "app"}}})
	w.start(simulate.Spec{ID: "b"})
	completes := func(line, want string) {
		t.Helper()
		code, out, _ := w.commandWords(append(append([]string{"__completeNoDesc"}, w.words(line)...), "")...)
		if got := strings.Join(strings.Fields(out), " "); code != cli.ExitOK || got != want {
			t.Errorf("%s is completed with %s, want %s", line, got, want)
		}
	}
	const noFiles, extensions, directories = ":4", ":8", ":16"
	completes("serve --log.level", "debug info warn error "+noFiles)
	completes("serve --log.format", "text json "+noFiles)
	completes("serve --root", directories)
	completes("man --dir", directories)
	completes("list --root", directories)
	completes("list --web.client-config.file", "yml yaml "+extensions)
	completes("export --root {root}", "a app b "+noFiles)
	completes("export --root {root} a", noFiles)
	completes("export --root {dir}/missing", noFiles)
	completes("help", "completion doctor export get health help list man metric-server serve version "+noFiles)
	completes("get --address {socket} --sandbox", noFiles)
	w.serve("serve --root {root} --web.listen-address {socket}")
	completes("get --address {socket} --sandbox", "a b "+noFiles)
	t.Setenv("SANDMETER_ROOT", w.root)
	completes("export", "a app b "+noFiles)
	t.Setenv("SANDMETER_ADDRESS", w.socket)
	completes("get --sandbox", "a b "+noFiles)
}
