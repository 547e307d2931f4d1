// Package cli is what the programs of this module have in common as command lines: exit codes, errors that advise, flags that can
// also be given as environment variables, and text that is fit for a terminal.
package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/term"
)

// Exit codes of every command.
const (
	ExitOK    = 0
	ExitFail  = 1 // the command was understood, and failed
	ExitUsage = 2 // the command line is wrong
)

// Stdio is where a command writes: the result of the command on Out, everything else on Err.
type Stdio struct {
	Out, Err io.Writer
}

// Printf writes a part of the result.
func (s Stdio) Printf(format string, args ...any) error {
	_, err := fmt.Fprintf(s.Out, format, args...)
	return err
}

// UsageError is an error of the command line: exit code 2.
type UsageError struct{ error }

// Unwrap returns the reason.
func (e UsageError) Unwrap() error { return e.error }

// Usage makes an error one of the command line.
func Usage(err error) error { return UsageError{err} }

// Usagef returns an error of the command line.
func Usagef(format string, args ...any) error { return UsageError{fmt.Errorf(format, args...)} }

// LoggedError is an error that standard error already has: a server has written it with its log.
type LoggedError struct{ error }

// Logged makes an error one that is not to be written again.
func Logged(err error) error { return LoggedError{err} }

// Unwrap returns the reason.
func (e LoggedError) Unwrap() error { return e.error }

// Exit writes the error that a program ends with, if any, as one line, and returns the exit code.
func Exit(program string, err error, std Stdio) int {
	if err == nil {
		return ExitOK
	}
	if !errors.As(err, new(LoggedError)) {
		fmt.Fprint(std.Err, ErrorLine(program, err))
	}
	if errors.As(err, new(UsageError)) {
		return ExitUsage
	}
	return ExitFail
}

// ErrorLine returns the line that a program ends with because of an error.
func ErrorLine(program string, err error) string {
	return fmt.Sprintf("%s: %s\n", program, OneLine(err.Error()))
}

// OneLine makes a text one that a terminal shows as one line, whatever was joined into it.
func OneLine(text string) string {
	var line strings.Builder
	separator := ""
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		line.WriteString(separator + part)
		if separator = "; "; strings.HasSuffix(part, "?") { // a suggestion of cobra's follows
			separator = " "
		}
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, line.String())
}

// Cell makes a foreign string one that a terminal shows as it is; nothing is a dash.
func Cell(s string) string {
	if s == "" {
		return "-"
	}
	if quoted := strconv.Quote(s); quoted != `"`+s+`"` {
		return quoted
	}
	return s
}

// IsTerminal reports whether what is written to out goes to a terminal.
func IsTerminal(out io.Writer) bool { return TerminalWidth(out) > 0 }

// TerminalWidth returns how many columns the terminal has that out goes to, 0 if that is none.
func TerminalWidth(out io.Writer) int {
	const usual = 80 // of a terminal that does not know
	file, isFile := out.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return 0
	}
	if columns, _, err := term.GetSize(int(file.Fd())); err == nil && columns > 0 {
		return columns
	}
	return usual
}

// PermissionAdvice is what to do about an error that is a lack of permission, "" about any other.
func PermissionAdvice(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "run this as root, or as a user with permission"
	}
	return ""
}
