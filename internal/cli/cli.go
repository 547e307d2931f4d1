// Package cli has the command-line code that the programs of this module share: exit codes, errors
// with advice, flags with environment variables, and safe output for terminals.
package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/term"
)

// Exit codes of every command.
const (
	ExitOK    = 0
	ExitFail  = 1 // the command failed
	ExitUsage = 2 // the command line is wrong
)

// Stdio has the outputs of a command: its result goes to Out, everything else to Err.
type Stdio struct {
	Out, Err io.Writer
}

// Printf writes formatted text to Out.
func (s Stdio) Printf(format string, args ...any) error {
	_, err := fmt.Fprintf(s.Out, format, args...)
	return err
}

// UsageError is an error of the command line: exit code 2.
type UsageError struct{ error }

// Unwrap returns the wrapped error.
func (e UsageError) Unwrap() error { return e.error }

// Usage wraps an error as a UsageError.
func Usage(err error) error { return UsageError{err} }

// Usagef returns a UsageError with a formatted text.
func Usagef(format string, args ...any) error { return UsageError{fmt.Errorf(format, args...)} }

// LoggedError is an error that is already in the log on standard error.
type LoggedError struct{ error }

// Logged wraps an error as a LoggedError, so that Exit does not write it again.
func Logged(err error) error { return LoggedError{err} }

// Unwrap returns the wrapped error.
func (e LoggedError) Unwrap() error { return e.error }

// Exit writes err, if it is not nil, as one line, and returns the exit code for it.
func Exit(program string, err error, std Stdio) int {
	if err == nil {
		return ExitOK
	}
	if !errors.As(err, new(LoggedError)) {
		fmt.Fprint(std.Err, ErrorLine(program, err, OnJournal(std.Err)))
	}
	if errors.As(err, new(UsageError)) {
		return ExitUsage
	}
	return ExitFail
}

// ErrorLine returns the line that Exit writes for an error, to the journal or elsewhere.
func ErrorLine(program string, err error, journal bool) string {
	line := fmt.Sprintf("%s: %s\n", program, OneLine(err.Error()))
	if journal {
		return Priority(slog.LevelError) + line
	}
	return line
}

// OneLine returns a text as one printable line.
func OneLine(text string) string {
	var line strings.Builder
	separator := ""
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		line.WriteString(separator + part)
		if separator = "; "; strings.HasSuffix(part, "?") { // a suggestion by cobra follows
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

// Cell returns an untrusted string for a table: quoted if it is not printable, and "-" if it is
// empty.
func Cell(s string) string {
	if s == "" {
		return "-"
	}
	if quoted := strconv.Quote(s); quoted != `"`+s+`"` {
		return quoted
	}
	return s
}

// IsTerminal reports whether out is a terminal.
func IsTerminal(out io.Writer) bool { return TerminalWidth(out) > 0 }

// TerminalWidth returns the number of columns of the terminal out, or 0 if out is not a terminal.
func TerminalWidth(out io.Writer) int {
	const usual = 80 // for a terminal that does not report its size
	file, isFile := out.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return 0
	}
	if columns, _, err := term.GetSize(int(file.Fd())); err == nil && columns > 0 {
		return columns
	}
	return usual
}

// PermissionAdvice returns advice for a permission error, and "" for other errors.
func PermissionAdvice(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "run as root or as a user with permission"
	}
	return ""
}
