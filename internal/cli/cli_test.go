package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
)

func TestExit(t *testing.T) {
	check := func(err error, wantCode int, want string) {
		t.Helper()
		var out, errs strings.Builder
		if code := Exit("prog", err, Stdio{&out, &errs}); code != wantCode || errs.String() != want || out.Len() > 0 {
			t.Errorf("%v: exit code %d, %q, want %d, %q", err, code, errs.String(), wantCode, want)
		}
	}
	check(nil, ExitOK, "")
	check(errors.New("no"), ExitFail, "prog: no\n")
	check(errors.Join(errors.New("one"), errors.New("two\r\nthree\x1b[31m")), ExitFail, "prog: one; two; three\uFFFD[31m\n")
	check(errors.New("unknown command\n\nDid you mean this?\n\tserve\n"), ExitFail, "prog: unknown command; Did you mean this? serve\n")
	check(Usagef("wrong %d", 1), ExitUsage, "prog: wrong 1\n")
	check(fmt.Errorf("while: %w", Usage(fs.ErrInvalid)), ExitUsage, "prog: while: invalid argument\n")
	check(Logged(errors.New("no")), ExitFail, "")
	check(Logged(Usagef("wrong")), ExitUsage, "")
}

func TestCell(t *testing.T) {
	for text, want := range map[string]string{"": "-", "a b": "a b", "é": "é", "a\n": `"a\n"`, "\x1b[1m": `"\x1b[1m"`, "\xff": `"\xff"`, `a"b`: `"a\"b"`} {
		if got := Cell(text); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}

// command returns a command with a flag of each kind, and their values.
func command() (*cobra.Command, func() string) {
	root, roots, level := "/default", []string{"/default"}, "info"
	var on bool
	var patterns []string
	cmd := &cobra.Command{Use: "prog", Long: "The help.", RunE: func(*cobra.Command, []string) error { return nil }}
	Register(cmd, config.Setting{Name: "root", Heading: "Roots", Placeholder: "directory", Value: &roots, Path: true, Help: "Roots to serve."},
		config.Setting{Name: "on.off", Heading: "More", Value: &on, Help: "Turn it on."},
		config.Setting{Name: "one", Heading: "Roots", Placeholder: "directory", Value: &root, Path: true, Help: "A directory with a description that is long enough for another line."},
		config.Setting{Name: "allow", Heading: "More", Placeholder: "regex", Value: &patterns, Whole: true},
		config.Setting{Name: "level", Heading: "More", Placeholder: "level", Value: &level, Choices: []string{"debug", "info", "warn"}, Help: "Level."})
	SetUp(cmd, Stdio{new(strings.Builder), new(strings.Builder)})
	Once(cmd)
	return cmd, func() string { return fmt.Sprint(roots, " ", root, " ", on, " ", patterns, " ", level) }
}

func TestFlags(t *testing.T) {
	check := func(line, want string) {
		t.Helper()
		cmd, values := command()
		got := ""
		if err := Execute(t.Context(), cmd, strings.Fields(line)); err != nil {
			got = err.Error()
		} else {
			got = values()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
	check("", "[/default] /default false [] info")
	check("--root /a", "[/a] /default false [] info")
	check("--root /a/ --root /b/../c,/d", "[/a /c /d] /default false [] info")
	check("--one /x --on.off", "[/default] /x true [] info")
	check("--allow a{1,2} --allow=b --level warn", "[/default] /default false [a{1,2} b] warn")
	check("--one /x --one /x", `--one "/x": given twice; try: prog --help`)
	check("--on.off --on.off=false", `--on.off "false": given twice; try: prog --help`)
	check("--on.off=maybe", `--on.off "maybe": give true or false; try: prog --help`)
	check("--level Debug", `--level "Debug": choose debug, info or warn; try: prog --help`)
	check("--root=", `--root "": give a path; try: prog --help`)
	check("--none", "unknown flag: --none; try: prog --help")
}

// TestHelp: flags are below their headings, in the order in which they were registered, and lines fit.
func TestHelp(t *testing.T) {
	cmd, _ := command()
	cmd.Long = "The help of a command.\nIt has lines and\n\nparagraphs."
	const want = `The help of a command. It has lines and

paragraphs.

Usage:
  prog [flags]

Flags:
  -h, --help               Show help.

Roots:
      --root <directory>   Roots to serve.
                           (default /default)
      --one <directory>    A directory with a
                           description that is
                           long enough for
                           another line.
                           (default /default)

More:
      --on.off             Turn it on.
      --allow <regex>
      --level <level>      Level. (default info)
`
	trailing := regexp.MustCompile(` +\n`)
	if got := trailing.ReplaceAllString(help(cmd, 52), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFromEnv(t *testing.T) {
	check := func(line, want string) {
		t.Helper()
		cmd, values := command()
		if err := cmd.ParseFlags(strings.Fields(line)); err != nil {
			t.Fatal(err)
		}
		if err := FromEnv(cmd.Flags()); err != nil || values() != want {
			t.Errorf("%s: %v: %s, want %s", line, err, values(), want)
		}
	}
	t.Setenv("SANDMETER_ROOT", "/a,/b")
	t.Setenv("SANDMETER_ON_OFF", "true")
	t.Setenv("SANDMETER_ALLOW", "a{1,2}|b")
	check("", "[/a /b] /default true [a{1,2}|b] info")
	check("--root /x --on.off=false --allow c", "[/x] /default false [c] info") // flags go before the environment
	cmd, _ := command()
	if err := errors.Join(cmd.ParseFlags([]string{"--one", "/x"}), FromEnv(cmd.Flags())); err != nil {
		t.Fatal(err)
	}
	if given := Given(cmd.Flags()); fmt.Sprint(given) != "map[allow:a{1,2}|b on.off:true one:/x root:/a,/b]" {
		t.Errorf("given are %v", given)
	}
	t.Setenv("SANDMETER_ROOT", "")
	t.Setenv("SANDMETER_ON_OFF", "")
	t.Setenv("SANDMETER_ALLOW", "")
	check("", "[/default] /default false [] info") // empty variables count as unset
	t.Setenv("SANDMETER_ROOT", "/a,")
	cmd, _ = command()
	if err := FromEnv(cmd.Flags()); err == nil || err.Error() != `SANDMETER_ROOT "": give a path` || !errors.As(err, new(UsageError)) {
		t.Errorf("an empty root in the environment: %v", err)
	}
}

// program returns a program with a command that takes no argument.
func program(std Stdio) *cobra.Command {
	root := &cobra.Command{Use: "prog", Long: "The help."}
	run := func(*cobra.Command, []string) error { return errors.New("it failed") }
	root.AddCommand(&cobra.Command{Use: "serve", Short: "Serve", Args: cobra.NoArgs, RunE: run})
	SetUp(root, std)
	return root
}

func TestExecute(t *testing.T) {
	check := func(line string, wantCode int, wantOut, wantErr string) {
		t.Helper()
		var out, errs strings.Builder
		std := Stdio{&out, &errs}
		code := Exit("prog", Execute(t.Context(), program(std), strings.Fields(line)), std)
		if code != wantCode || !strings.HasPrefix(out.String(), wantOut) || wantOut == "" && out.Len() > 0 || errs.String() != wantErr {
			t.Errorf("%s: exit code %d, out %q, err %q, want %d, %q…, %q", line, code, &out, &errs, wantCode, wantOut, wantErr)
		}
	}
	const help = "The help.\n\nUsage:\n  prog [command]\n"
	check("", ExitOK, help, "")
	check("--help", ExitOK, help, "")
	check("help", ExitOK, help, "")
	check("help serve", ExitOK, "Serve\n\nUsage:\n  prog serve ", "")
	check("completion", ExitOK, "Generate ", "")
	check("completion bash", ExitOK, "# bash completion", "")
	check("serve", ExitFail, "", "prog: it failed\n")
	check("serve x", ExitUsage, "", `prog: unknown command "x" for "prog serve"; try: prog serve --help`+"\n")
	check("serve --x", ExitUsage, "", "prog: unknown flag: --x; try: prog serve --help\n")
	check("serv", ExitUsage, "", `prog: unknown command "serv" for "prog"; Did you mean this? serve; try: prog --help`+"\n")
	check("help x", ExitUsage, "", `prog: unknown command "x" for "prog"; try: prog --help`+"\n")
	check("help serve x", ExitUsage, "", `prog: unknown command "x" for "prog serve"; try: prog --help`+"\n")
	check("completion x", ExitUsage, "", `prog: unknown command "x" for "prog completion"; try: prog completion --help`+"\n")
	check("completion bash x", ExitUsage, "", `prog: unknown command "x" for "prog completion bash"; try: prog completion bash --help`+"\n")
}

// TestHelpThatCannotBeWritten: a failed write of help is an error, reported once.
func TestHelpThatCannotBeWritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, line := range []string{"", "help serve", "serve --help", "completion", "completion bash", "completion zsh"} {
		var errs strings.Builder
		std := Stdio{full, &errs}
		code := Exit("prog", Execute(t.Context(), program(std), strings.Fields(line)), std)
		if want := "prog: write /dev/full: no space left on device\n"; code != ExitFail || errs.String() != want {
			t.Errorf("%s: exit code %d, %q, want %d, %q", line, code, &errs, ExitFail, want)
		}
	}
}
