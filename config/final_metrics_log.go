package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// runsc replaces these in the value of its flag --final-metrics-log. Two have the ID of the
// container whose creation started the sandbox, which is the sandbox's ID. The process that opens
// the file runs the command boot, for create, run and restore alike.
const (
	sandboxID   = "%ID%"
	containerID = "%CID%"
	command     = "%COMMAND%"
)

// CheckFinalMetricsLog returns an error unless pattern, the value of runsc's flag
// --final-metrics-log, names a file of its own for each sandbox, which [FinalMetricsLog] can find.
func CheckFinalMetricsLog(pattern string) error {
	rest := strings.NewReplacer(sandboxID, "", containerID, "", command, "").Replace(pattern)
	switch {
	case !filepath.IsAbs(pattern):
		return errors.New("the path must be absolute, because runsc and the server run in different directories")
	case !strings.Contains(pattern, sandboxID) && !strings.Contains(pattern, containerID):
		return fmt.Errorf("add %s: without it, all sandboxes write to the same file and truncate it", sandboxID)
	case strings.Contains(rest, "%"):
		return fmt.Errorf("use no placeholders except %s, %s and %s: the server does not know the values of others", sandboxID, containerID, command)
	case filepath.Clean(pattern) != pattern:
		return fmt.Errorf("write the path as %s", filepath.Clean(pattern))
	}
	return nil
}

// FinalMetricsLog returns the path of the file to which runsc writes the last metrics of the sandbox
// with the ID, given a pattern that [CheckFinalMetricsLog] accepts. It refuses an ID that would lead
// to another directory.
func FinalMetricsLog(pattern, id string) (string, error) {
	path := strings.NewReplacer(sandboxID, id, containerID, id, command, "boot").Replace(pattern)
	if id == "" || strings.ContainsAny(id, "/\x00") || filepath.Clean(path) != path {
		return "", fmt.Errorf("sandbox ID %q cannot be a part of a path", id)
	}
	return path, nil
}
