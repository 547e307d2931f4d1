// Unitrun starts the program of a systemd service unit under the restrictions of the unit, without
// systemd. It is for tests, where systemd does not run:
//
//	unitrun [flags] /usr/lib/systemd/system/sandmeter.service [NAME=VALUE...]
//
// It does what systemd does before it executes ExecStart=: it makes the unit's directories and
// environment, hides and write-protects files in a mount namespace of its own, drops capabilities and
// loads system call filters. It refuses units with settings that it does not know, so no restriction
// goes untested. Needs root and systemd-analyze, which knows the groups of system calls.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	// Namespaces, capabilities and filters belong to this thread, and stay when it executes a program.
	runtime.LockOSThread()
	err := run(os.Args[1:])
	if !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "unitrun:", err)
	}
	os.Exit(1)
}

// run returns only if there is an error.
func run(args []string) error {
	var visible, binds words
	flags := flag.NewFlagSet("unitrun", flag.ContinueOnError)
	program := flags.String("program", "", "`path` of the program, in place of that of ExecStart=")
	socket := flags.String("socket", "", "socket `unit` whose ListenStream= the program inherits")
	flags.Var(&visible, "visible", "`directory` that stays visible where the unit hides it; repeatable")
	flags.Var(&binds, "bind", "`directory:path`: where the program sees a directory; repeatable")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("give the path of a unit")
	}
	u, err := readUnit(flags.Arg(0))
	if err != nil {
		return err
	}
	p, err := newProcess(u, *program, flags.Args()[1:])
	if err != nil {
		return err
	}
	if *socket != "" {
		if err := p.inheritSockets(*socket); err != nil {
			return err
		}
	}
	if err := confine(u, visible, binds); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", p.args[0], unix.Exec(p.args[0], p.args, p.env))
}

// words is a flag that is repeatable.
type words []string

func (w *words) String() string { return strings.Join(*w, " ") }

func (w *words) Set(s string) error {
	*w = append(*w, s)
	return nil
}

// confine applies the restrictions of a unit to this thread.
func confine(u unit, visible, binds []string) error {
	if unknown := slices.DeleteFunc(u.names("Service"), func(name string) bool { return known[name] }); len(unknown) > 0 {
		return fmt.Errorf("the unit has settings that this program does not know: %s", strings.Join(unknown, ", "))
	}
	filters, err := filtersOf(u) // takes a program that is not needed later
	if err != nil {
		return err
	}
	unix.Umask(u.octal("UMask", 0o022))
	for _, step := range []func() error{
		func() error { return confineFiles(u, visible, binds) },
		func() error { return confineHost(u) },
		func() error { return dropCapabilities(u) },
		func() error { return loadFilters(filters) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
