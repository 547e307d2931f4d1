package runsc

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// EnvRunsc names the environment variable with the path of the runsc program.
const EnvRunsc = "SANDLAB_RUNSC"

// Find returns the absolute path of the runsc program: path if it is not empty, else
// $SANDLAB_RUNSC, else a runsc in the directory of the running executable, else the one in PATH.
// If path or the environment variable is set, Find looks nowhere else.
func Find(path string) (string, error) {
	if path != "" {
		return found(path, "the given path")
	}
	if path = os.Getenv(EnvRunsc); path != "" {
		return found(path, "$"+EnvRunsc)
	}
	beside := "runsc"
	if self, err := os.Executable(); err == nil {
		beside = filepath.Join(filepath.Dir(self), "runsc")
		if path, err := found(beside, "beside"); err == nil {
			return path, nil
		}
	}
	if path, err := found("runsc", "PATH"); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("runsc not found: $%s is not set, and there is no %s and no runsc in PATH; build it with: make build", EnvRunsc, beside)
}

// found returns the absolute path of the program at path. where describes the source of path in an
// error.
func found(path, where string) (string, error) {
	path, err := exec.LookPath(path)
	if wrong, ok := errors.AsType[*exec.Error](err); ok {
		err = wrong.Err // without "exec:" and the repeated path
	}
	if err != nil {
		return "", fmt.Errorf("runsc not found at %s: %w", where, err)
	}
	return filepath.Abs(path)
}
