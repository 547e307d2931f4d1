// Command sandmeter is the metric server for gVisor sandboxes, and the tools to look at them.
//
// Signals, flags, the environment and exit codes live in this package only; a file holds a command.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unicode"
)

// Exit codes of every command.
const (
	exitOK    = 0
	exitFail  = 1 // the command was understood, and failed
	exitUsage = 2 // the command line is wrong
)

// stdio is where a command writes: what a person or script asked for on out, everything else on err.
type stdio struct {
	out, err io.Writer
}

// printf writes what was asked for.
func (s stdio) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(s.out, format, args...)
	return err
}

// usageError is an error of the command line: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// loggedError is an error that standard error has already, as a record of a log.
type loggedError struct{ error }

func (e loggedError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	code := run(ctx, os.Args[1:], stdio{os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// run is the program without its process: it returns the exit code.
func run(ctx context.Context, args []string, std stdio) int {
	err := dispatch(ctx, args, std)
	if err == nil {
		return exitOK
	}
	if !errors.As(err, new(loggedError)) {
		fmt.Fprintf(std.err, "sandmeter: %s\n", oneLine(err.Error()))
	}
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitFail
}

// oneLine makes a text one that a terminal shows as one line, whatever was joined into it.
func oneLine(text string) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, strings.Join(lines, "; "))
}
