package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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
	root, roots := "/default", []string{"/default"}
	var on bool
	cmd := &cobra.Command{Use: "prog", RunE: func(*cobra.Command, []string) error { return nil }}
	RegisterRoots(cmd, &roots, "")
	cmd.Flags().Var((*rootFlag)(&root), "one", "")
	cmd.Flags().BoolVar(&on, "on.off", false, "")
	SetUp(cmd, Stdio{new(strings.Builder), new(strings.Builder)})
	LimitToOnce(cmd)
	return cmd, func() string { return fmt.Sprint(roots, " ", root, " ", on) }
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
	check("", "[/default] /default false")
	check("--root /a", "[/a] /default false")
	check("--root /a/ --root /b/../c --root /a,b", "[/a /c /a,b] /default false")
	check("--one /x --on.off", "[/default] /x true")
	check("--one /x --one /x", `invalid argument "/x" for "--one" flag: given twice; try: prog --help`)
	check("--on.off --on.off=false", `invalid argument "false" for "--on.off" flag: given twice; try: prog --help`)
	check("--on.off=maybe", `invalid argument "maybe" for "--on.off" flag: give true or false; try: prog --help`)
	check("--root=", `invalid argument "" for "--root" flag: name a directory; try: prog --help`)
}

func TestNames(t *testing.T) {
	check := func(words, want string) {
		t.Helper()
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		var names []string
		Names(flags, &names, "names", "")
		if err := flags.Parse(strings.Fields(words)); err != nil || flags.Lookup("names").Value.String() != want || strings.Join(names, ",") != want {
			t.Errorf("%s: %q, %v", words, names, err)
		}
	}
	check("", "")
	check("--names a", "a")
	check("--names a,b --names=c", "a,b,c")
	check("--names=", "")
}

func TestFromEnv(t *testing.T) {
	t.Setenv("SANDMETER_ROOT", "/a,/b")
	t.Setenv("SANDMETER_ON_OFF", "true")
	cmd, values := command()
	if err := FromEnv(cmd.Flags()); err != nil || values() != "[/a /b] /default true" {
		t.Errorf("%v: %s", err, values())
	}
	cmd, values = command()
	if err := cmd.ParseFlags([]string{"--root", "/x", "--on.off=false"}); err != nil {
		t.Fatal(err)
	}
	if err := FromEnv(cmd.Flags()); err != nil || values() != "[/x] /default false" {
		t.Errorf("flags go before the environment: %v: %s", err, values())
	}
	t.Setenv("SANDMETER_ROOT", "")
	t.Setenv("SANDMETER_ON_OFF", "")
	cmd, values = command()
	if err := FromEnv(cmd.Flags()); err != nil || values() != "[/default] /default false" {
		t.Errorf("empty variables count as unset: %v: %s", err, values())
	}
	t.Setenv("SANDMETER_ROOT", "/a,")
	cmd, _ = command()
	if err := FromEnv(cmd.Flags()); err == nil || !strings.HasPrefix(err.Error(), "environment variable SANDMETER_ROOT: ") || !errors.As(err, new(UsageError)) {
		t.Errorf("an empty root in the environment: %v", err)
	}
}

// TestPlainWords: errors describe the valid values of a flag, with both flag packages.
func TestPlainWords(t *testing.T) {
	check := func(line, want string) {
		t.Helper()
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		flags.Bool("on", false, "")
		flags.Duration("for", 0, "")
		flags.Int("count", 0, "")
		flags.String("text", "", "")
		g := GoFlags("prog", flags)
		got := ""
		if err := g.Parse(strings.Fields(line)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
		var usage strings.Builder
		g.SetOutput(&usage)
		if g.PrintDefaults(); strings.Contains(usage.String(), "panic") {
			t.Errorf("flags are explained as\n%s", &usage)
		}
	}
	check("-on -for=2s --count 3 -text x", "")
	check("-on=maybe", `invalid boolean value "maybe" for -on: give true or false`)
	check("-for=5", `invalid value "5" for flag -for: give a number with a unit, such as 2s or 500ms`)
	check("-count=1.5", `invalid value "1.5" for flag -count: give a whole number`)
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
	for _, line := range []string{"", "--help", "help", "help serve", "serve --help", "completion", "completion bash", "completion zsh"} {
		var errs strings.Builder
		std := Stdio{full, &errs}
		code := Exit("prog", Execute(t.Context(), program(std), strings.Fields(line)), std)
		if want := "prog: write /dev/full: no space left on device\n"; code != ExitFail || errs.String() != want {
			t.Errorf("%s: exit code %d, %q, want %d, %q", line, code, &errs, ExitFail, want)
		}
	}
}
