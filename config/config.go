// Package config holds the settings shared by runsc, a metric server and its client, and their form
// as runsc flags.
package config

import (
	"os"
	"path/filepath"
	"strings"
)

// RuntimeRoot is the placeholder for the runtime root in the address of a metric server, as in
// "%RUNTIME_ROOT%/metrics.sock".
const RuntimeRoot = "%RUNTIME_ROOT%"

// MetricServerCommand is the runsc subcommand that runs a metric server. On a command line it
// separates the flags of runsc from those of the server.
const MetricServerCommand = "metric-server"

// Config holds the settings that runsc and a metric server must agree on, and the log settings of
// the server. The zero value is valid and means the defaults of runsc.
type Config struct {
	// RootDir is the runtime root, the directory with the state of runsc's sandboxes. Empty means
	// [DefaultRootDir]. The flag is --root.
	RootDir string

	// MetricServer is the address of the metric server: host:port, :port, or the absolute path of a
	// Unix socket. [RuntimeRoot] in it stands for the runtime root; see [ExpandAddress]. Empty
	// means no metric server. The flag is --metric-server.
	MetricServer string

	// Debug enables debug logging. The flag is --debug.
	Debug bool

	// DebugLog is the file of the debug log, or a directory if it ends in a slash. The process that
	// writes the log replaces %TIMESTAMP% and %COMMAND% in it. The flag is --debug-log.
	DebugLog string

	// LogFilename is the file of the error log. The flag is --log.
	LogFilename string

	// LogFormat is the format of the logs: text, json or json-k8s. Empty means text. The flag is
	// --log-format.
	LogFormat string

	// ServerPath is the program to start as a metric server. A name without a slash is looked up in
	// PATH. Empty means that the starting program searches for it. ServerPath is not a runsc flag.
	ServerPath string
}

// DefaultRootDir returns the runtime root that runsc uses without --root: $XDG_RUNTIME_DIR/runsc if
// that variable is set and not empty, or else /var/run/runsc.
func DefaultRootDir() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "runsc")
	}
	return "/var/run/runsc"
}

// ExpandAddress replaces every [RuntimeRoot] in addr with rootDir. It does not change anything
// else.
func ExpandAddress(addr, rootDir string) string {
	return strings.ReplaceAll(addr, RuntimeRoot, rootDir)
}
