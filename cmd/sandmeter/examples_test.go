package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// examples returns all command lines in the help.
func examples() []string {
	root := newRootCommand(new(config.Config), cli.Stdio{})
	text := root.Example
	for _, c := range root.Commands() {
		text += "\n" + c.Example
	}
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestExamplesRun runs every example of the help, with paths, addresses and a group of this test.
func TestExamplesRun(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "5f0c2a1b"})
	w.serve("serve --root {root} --web.listen-address {socket}")
	w.must(os.Symlink(w.root, w.path("runsc")))
	w.must(os.Mkdir(w.path("man1"), 0o755))
	w.must(os.WriteFile(w.path("web.yml"), []byte("http_server_config: {headers: {X-Frame-Options: deny}}\n"), 0o600))
	w.must(os.WriteFile(w.path("client.yml"), []byte("basic_auth: {username: me, password: secret}\n"), 0o600))
	t.Setenv("XDG_RUNTIME_DIR", w.dir) // the default root is runsc in it
	t.Setenv("SANDMETER_ADDRESS", w.socket)
	setUsualRoots(t, w.root)
	setDoctorHost(w)
	t.Setenv("SANDMETER_WEB_LISTEN_ADDRESS", "127.0.0.1:0")
	ours := strings.NewReplacer("/run/containerd/runsc/k8s.io", w.root, "/var/run/docker/runtime-runc/moby", w.root, "/var/run/runsc", w.root,
		"/usr/local/share/man/man1", w.path("man1"),
		"--address /run/sandmeter.sock", "--address "+w.socket, "/run/sandmeter.sock", w.path("own.sock"),
		":19640", "127.0.0.1:0", "localhost:1337", "127.0.0.1:0", "--web.socket-group prometheus", "--web.socket-group 0", "1000", "20", "'", "",
		"/etc/sandmeter/web.yml", w.path("web.yml"), "/etc/sandmeter/client.yml", w.path("client.yml"))
	for _, example := range examples() {
		line, _, _ := strings.Cut(example, " | ") // without the program that reads its output
		words := strings.Fields(ours.Replace(line))
		if words[0] != "sandmeter" {
			continue
		}
		t.Run(strings.Join(words[1:], " "), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), ample)
			defer cancel()
			var out, errs testkit.Buffer
			code := make(chan int, 1)
			go func() { code <- run(ctx, words[1:], cli.Stdio{Out: &out, Err: &errs}) }()
			if slices.ContainsFunc(words, func(w string) bool { return w == "serve" || w == "metric-server" }) {
				// Servers run until they are stopped. A server that does not start fails before
				// that.
				(&world{T: t}).until("it serves or ends", func() bool { return strings.Contains(errs.String(), "msg=Serving") || len(code) > 0 })
				cancel()
			}
			if got := <-code; got != cli.ExitOK {
				t.Errorf("%s\nexits with %d and says\n%s", example, got, &errs)
			}
			if out.String() == "" && errs.String() == "" && !slices.Contains(words, "--dir") {
				t.Errorf("%s\nsays nothing", example)
			}
		})
	}
	if pages, err := filepath.Glob(w.path("man1/sandmeter*.1")); err != nil || len(pages) < 10 {
		t.Errorf("man pages are %q, %v", pages, err)
	}
}

// commandNames returns the names of the commands in the help.
func commandNames() []string {
	var names []string
	for _, c := range newRootCommand(new(config.Config), cli.Stdio{}).Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// TestSameCommandsEverywhere: help, the man page and the README list the same commands.
func TestSameCommandsEverywhere(t *testing.T) {
	w := newWorld(t)
	_, help, _ := w.command("--help")
	_, man, _ := w.command("man")
	readme, err := os.ReadFile("../../README.md")
	w.must(err)
	names := commandNames()
	for _, name := range names {
		contains(t, help, "\n  "+name+" ")
		contains(t, man, `sandmeter-`+name+`(1)`)
		if !strings.Contains(string(readme), "\n| `sandmeter "+name+"`") && !strings.Contains(string(readme), "\n| `sandmeter "+name+" ") {
			t.Errorf("the README does not list %s", name)
		}
	}
	if listed := strings.Count(string(readme), "\n| `sandmeter "); listed != len(names) {
		t.Errorf("the README lists %d commands, and there are %d", listed, len(names))
	}
	if listed := strings.Count(man, "(1)"); listed != len(names) {
		t.Errorf("the man page lists %d commands, and there are %d", listed, len(names))
	}
}
