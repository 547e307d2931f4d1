package main

import (
	"errors"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
)

// TestWrongUsage: every way to call the program wrongly ends with exit code 2 and one line that says what to do.
func TestWrongUsage(t *testing.T) {
	w := newWorld(t)
	wrong := func(line, want string) {
		t.Helper()
		w.fails(line, exitUsage, want)
	}
	commands := strings.Join(append([]string{"completion"}, commandNames(newRootCommand(stdio{}))...), ", ")
	wrong("", "a command is missing, one of "+commands+"; try: sandmeter --help")
	wrong("nonsense", `there is no command "nonsense"; try: sandmeter --help`)
	wrong("serv", `there is no command "serv"; did you mean serve?`)
	wrong("help nonsense", `there is no command "nonsense"; try: sandmeter --help`)
	wrong("help list nonsense", `there is no command "nonsense"; try: sandmeter --help`)
	wrong("--nonsense", "unknown flag: --nonsense; try: sandmeter --help")
	wrong("-x", "unknown shorthand flag: 'x' in -x; try: sandmeter --help")

	wrong("list nonsense", `sandmeter list takes no argument, and "nonsense" is one; try: sandmeter list --help`)
	wrong("list --nonsense", "unknown flag: --nonsense; try: sandmeter list --help")
	wrong("list --root", "flag needs an argument: --root; try: sandmeter list --help")
	wrong("list --json=maybe", `invalid argument "maybe" for "--json" flag: strconv.ParseBool: parsing "maybe": invalid syntax; try: sandmeter list --help`)

	wrong("serve nonsense", `sandmeter serve takes no argument, and "nonsense" is one; try: sandmeter serve --help`)
	wrong("serve --metric-server=x", "unknown flag: --metric-server; try: sandmeter serve --help")
	wrong("serve --web.listen-address=", "no address to listen on: give host:port, :port or the absolute path of a Unix socket")
	wrong("serve --web.socket-mode=rw", `--web.socket-mode "rw": give an octal number such as 0660`)
	wrong("serve --web.socket-mode=0888", `--web.socket-mode "0888": give an octal number such as 0660`)
	wrong("serve --web.socket-mode=01777", `--web.socket-mode "01777": give an octal number such as 0660`)
	wrong("serve --web.socket-mode=0", `--web.socket-mode "0": give an octal number such as 0660`)
	wrong("serve --exporter-prefix=9", `exporter prefix "9" makes names that Prometheus refuses: use letters, digits and underscores, no digit first`)
	wrong("serve --sandbox-timeout=-1s", "sandbox timeout -1s: it has to be positive")
	wrong("serve --sandbox-timeout=5", `invalid argument "5" for "--sandbox-timeout" flag: time: missing unit in duration "5"; try: sandmeter serve --help`)
	wrong("serve --log.level=loud", `--log.level "loud": choose debug, info, warn or error`)
	wrong("serve --log.format=json-k8s", `--log.format "json-k8s": choose text or json`)

	wrong("version nonsense", `sandmeter version takes no argument, and "nonsense" is one; try: sandmeter version --help`)

	wrong("metric-server", "no address to serve on: give --metric-server=ADDRESS before the word metric-server")
	wrong("--metric-server= metric-server", "no address to serve on: give --metric-server=ADDRESS before the word metric-server")
	wrong("--metric-server={socket} metric-server nonsense", `metric-server takes no argument, and "nonsense" is one; try: sandmeter metric-server --help`)
	wrong("--metric-server={socket} metric-server --nonsense", "flag provided but not defined: -nonsense; try: sandmeter metric-server --help")
	wrong("--metric-server={socket} metric-server -exporter-prefix", "flag needs an argument: -exporter-prefix; try: sandmeter metric-server --help")
	wrong("--metric-server={socket} metric-server -allow-unknown-root=maybe", `invalid boolean value "maybe" for -allow-unknown-root: strconv.ParseBool: parsing "maybe": invalid syntax; try: sandmeter metric-server --help`)
	wrong("--metric-server={socket} metric-server -exporter-prefix=a-b", `exporter prefix "a-b" makes names that Prometheus refuses: use letters, digits and underscores, no digit first`)
	wrong("--metric-server={socket} --log-format=xml metric-server", `runsc flags: --log-format does not take "xml": write --log-format=text|json|json-k8s`)
	wrong("--debug=maybe metric-server", `runsc flags: --debug does not take "maybe": write --debug=true|false`)
	wrong("--root --metric-server metric-server", "no address to serve on: give --metric-server=ADDRESS before the word metric-server")
}

// TestFailures: what was asked for and cannot be had ends with exit code 1 and one line that says what to do.
func TestFailures(t *testing.T) {
	w := newWorld(t)
	w.must(os.WriteFile(w.path("file"), nil, 0o644))
	inUse, err := net.Listen("unix", w.path("live"))
	w.must(err)
	defer inUse.Close()
	fails := func(line, want string) {
		t.Helper()
		w.fails(line, exitFail, want)
	}
	const rootFlags = "; --root names the runtime root, --allow-unknown-root allows it to be missing"
	const another = ": end the program that listens there, or choose another address"

	fails("list --root {dir}/missing", "read runtime root {dir}/missing: no such file or directory; --root names the runtime root")
	fails("list --root {dir}/file", "read runtime root {dir}/file: not a directory; --root names the runtime root")
	fails("list --json --root {dir}/missing", "read runtime root {dir}/missing: no such file or directory; --root names the runtime root")

	fails("serve --web.listen-address {socket} --root {dir}/missing", "read runtime root {dir}/missing: no such file or directory"+rootFlags)
	fails("serve --web.listen-address {socket} --root {dir}/file", "read runtime root {dir}/file: not a directory"+rootFlags)
	fails("serve --root {root} --web.listen-address {dir}/live", "listen on {dir}/live: address already in use"+another)
	fails("serve --root {root} --web.listen-address {dir}/file", "listen on {dir}/file: something that is no socket is there: remove it, or choose another address")
	fails("serve --root {root} --web.listen-address nonsense", "listen on nonsense: missing port in address: give host:port, :port or the absolute path of a Unix socket")
	// What is missing here is not the root, and so nothing is said about it.
	fails("serve --root {root} --web.listen-address {dir}/missing/socket", "listen on {dir}/missing/socket: open {dir}/missing: no such file or directory: create the directory, or choose another address")
	fails("serve --root {root} --web.listen-address {socket} --web.socket-group no-such-group",
		`listen on {socket}: there is no group "no-such-group" for the socket: name one that exists, or its number`)

	fails("--metric-server={socket} --root={dir}/missing metric-server", "read runtime root {dir}/missing: no such file or directory"+rootFlags)
	fails("--metric-server={dir}/live --root={root} metric-server", "listen on {dir}/live: address already in use"+another)
	fails("--metric-server={socket} --root={root} --debug-log={dir}/file/log/ metric-server", "directory for the log: mkdir {dir}/file: not a directory")
	fails("--metric-server={socket} --root={root} --log={dir}/file/log --debug-log={dir}/file/log metric-server", "directory for the log: mkdir {dir}/file: not a directory")
	fails("--metric-server={socket} --root={root} --log={root} metric-server", "open the log: open {root}: is a directory")
	if _, err := os.Lstat(w.socket); !os.IsNotExist(err) {
		t.Errorf("one of them left a socket: %v", err)
	}
}

// TestHelp: each command explains itself, with an example, and its help can be had in every way.
func TestHelp(t *testing.T) {
	w := newWorld(t)
	for _, c := range newRootCommand(stdio{}).Commands() {
		if c.Hidden {
			continue
		}
		code, help, err := w.command("help " + c.Name())
		if code != exitOK || err != "" {
			t.Errorf("help %s exits with %d and says %s", c.Name(), code, err)
		}
		if c.Example == "" || !strings.Contains(help, "Examples:\n"+c.Example) || !strings.HasPrefix(help, c.Long) || c.Short == "" {
			t.Errorf("help %s is\n%s", c.Name(), help)
		}
		for _, flag := range []string{"--help", "-h"} {
			if code, other, err := w.command(c.Name() + " " + flag); code != exitOK || err != "" || other != help {
				t.Errorf("%s %s exits with %d, says %q, and differs from help %s:\n%s", c.Name(), flag, code, err, c.Name(), other)
			}
		}
		_, all, _ := w.command("--help")
		contains(t, all, "\n  "+c.Name()+" ")
	}
	for _, line := range []string{"help", "-h"} {
		code, help, err := w.command(line)
		if _, want, _ := w.command("--help"); code != exitOK || err != "" || help != want {
			t.Errorf("%s exits with %d, says %q, and differs from --help:\n%s", line, code, err, help)
		}
	}
}

func TestVersion(t *testing.T) {
	w := newWorld(t)
	code, out, err := w.command("version")
	words := strings.Fields(out)
	if code != exitOK || err != "" || len(words) != 4 || words[0] != "sandmeter" || words[2] != "("+runtime.Version()+"," || words[3] != runtime.GOOS+"/"+runtime.GOARCH+")" {
		t.Errorf("exits with %d and says %q, %q", code, out, err)
	}
	defer func(v string) { version = v }(version)
	version = "1.2.3"
	if _, out, _ := w.command("version"); !strings.HasPrefix(out, "sandmeter 1.2.3 (") {
		t.Errorf("a release says %q", out)
	}
}

func TestOneLine(t *testing.T) {
	check := func(text, want string) {
		t.Helper()
		if got := oneLine(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	check("open /x: no such file", "open /x: no such file")
	check(errors.Join(errors.New("one"), errors.New("two\n")).Error(), "one; two")
	check("a\r\n\r\nb", "a; b")
	check("\x1b[31mred\x07\u009b\u202e", "\uFFFD[31mred\uFFFD\uFFFD\uFFFD")
	check("ärger…", "ärger…")
}
