package cli

import (
	"errors"
	"fmt"
	"io/fs"
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

// command returns a command with a flag of each kind, and what they are set to.
func command() (*cobra.Command, func() string) {
	root, roots := "/default", []string{"/default"}
	var on bool
	cmd := &cobra.Command{Use: "prog", RunE: func(*cobra.Command, []string) error { return nil }}
	RegisterRoots(cmd, &roots, "")
	cmd.Flags().Var((*rootFlag)(&root), "one", "")
	cmd.Flags().BoolVar(&on, "on.off", false, "")
	SetUp(cmd, Stdio{new(strings.Builder), new(strings.Builder)}, "")
	LimitToOnce(cmd)
	return cmd, func() string { return fmt.Sprint(roots, " ", root, " ", on) }
}

func TestFlags(t *testing.T) {
	check := func(line, want string) {
		t.Helper()
		cmd, values := command()
		cmd.SetArgs(strings.Fields(line))
		got := ""
		if err := cmd.Execute(); err != nil {
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
	check("--one /x --one /x", `invalid argument "/x" for "--one" flag: it is given twice; try: prog --help`)
	check("--on.off --on.off=false", `invalid argument "false" for "--on.off" flag: it is given twice; try: prog --help`)
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
	t.Setenv("SANDMETER_ROOT", "/a,")
	cmd, _ = command()
	if err := FromEnv(cmd.Flags()); err == nil || !strings.HasPrefix(err.Error(), "environment variable SANDMETER_ROOT: ") || !errors.As(err, new(UsageError)) {
		t.Errorf("an empty root in the environment: %v", err)
	}
}
