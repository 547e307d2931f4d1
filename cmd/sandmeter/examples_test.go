package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
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

// TestCommandsInReadme: the README lists all commands, and no others.
func TestCommandsInReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed, commands []string
	for _, row := range regexp.MustCompile("(?m)^\\| `sandmeter ([a-z-]+)").FindAllStringSubmatch(string(readme), -1) {
		listed = append(listed, row[1])
	}
	for _, c := range newRootCommand(new(config.Config), cli.Stdio{}).Commands() {
		if c.IsAvailableCommand() {
			commands = append(commands, c.Name())
		}
	}
	slices.Sort(listed)
	slices.Sort(commands)
	if !slices.Equal(listed, commands) {
		t.Errorf("the README lists %q, and there are %q", listed, commands)
	}
}
