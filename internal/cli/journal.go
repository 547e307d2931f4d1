package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"
)

// OnJournal reports whether out is the stream to systemd's journal that JOURNAL_STREAM names. Child
// processes inherit the variable, also those whose output goes elsewhere.
func OnJournal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && fmt.Sprintf("%d:%d", st.Dev, st.Ino) == os.Getenv("JOURNAL_STREAM")
}

// Priority returns the prefix with which the journal stores a line at a level. The journal removes the
// prefix, whatever follows.
func Priority(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "<3>"
	case level >= slog.LevelWarn:
		return "<4>"
	case level >= slog.LevelInfo:
		return "<6>"
	}
	return "<7>"
}
