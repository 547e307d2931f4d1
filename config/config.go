// Package config holds the settings that runsc, a metric server and the metric server's client share, and their form as runsc flags.
package config

import (
	"os"
	"path/filepath"
	"strings"
)

// RuntimeRoot stands for the runtime root in the address of a metric server, as in "%RUNTIME_ROOT%/metrics.sock".
const RuntimeRoot = "%RUNTIME_ROOT%"

// MetricServerCommand is the subcommand of runsc that is a metric server. On a command line it separates runsc's flags from the
// server's own.
const MetricServerCommand = "metric-server"

// Config is what runsc and a metric server have to agree on, and where the server logs. The zero value works: it stands for runsc's
// defaults.
type Config struct {
	// RootDir is the runtime root, the directory where runsc keeps the state of its sandboxes. Empty means [DefaultRootDir].
	// The flag is --root.
	RootDir string

	// MetricServer is the address of the metric server: host:port, :port, or the absolute path of a Unix socket. [RuntimeRoot] in it
	// stands for the runtime root; see [ExpandAddress]. Empty means that there is none. The flag is --metric-server.
	MetricServer string

	// Debug asks for more to be logged. The flag is --debug.
	Debug bool

	// DebugLog is the file of the debug log, or a directory when it ends in a slash. %TIMESTAMP% and %COMMAND% in it are replaced by
	// who writes the log. The flag is --debug-log.
	DebugLog string

	// LogFilename is the file of the log of errors. The flag is --log.
	LogFilename string

	// LogFormat is the format of the logs: text, json or json-k8s. Empty means text. The flag is --log-format.
	LogFormat string

	// ServerPath is the program to start as a metric server; a name without a slash is looked up on PATH. Empty means that who
	// starts a server finds it. It is no flag of runsc.
	ServerPath string
}

// DefaultRootDir returns the runtime root that runsc uses when it gets no --root: $XDG_RUNTIME_DIR/runsc when that variable is set and
// not empty, else /var/run/runsc.
func DefaultRootDir() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "runsc")
	}
	return "/var/run/runsc"
}

// ExpandAddress returns the address with every [RuntimeRoot] in it replaced by rootDir, and nothing else changed.
func ExpandAddress(addr, rootDir string) string {
	return strings.ReplaceAll(addr, RuntimeRoot, rootDir)
}
