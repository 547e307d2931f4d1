package metricclient

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const (
	programName = "sandmeter"
	programEnv  = "SANDMETER_SERVER"
)

// findServer returns the path of the program to start as a server. A program that somebody named is taken or refused; only where nobody
// named one is it searched.
func findServer(given string) (string, error) {
	if given != "" {
		return lookPath("Config.ServerPath", given)
	}
	if named := os.Getenv(programEnv); named != "" {
		return lookPath("$"+programEnv, named)
	}
	beside := programName
	if self, err := os.Executable(); err == nil {
		beside = filepath.Join(filepath.Dir(self), programName)
		if path, err := exec.LookPath(beside); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(programName)
	if err != nil {
		return "", fmt.Errorf("no server program: Config.ServerPath and $%s are not set, %s is not there, and PATH (%s) has no %s: "+
			"install it or set one of the two", programEnv, beside, os.Getenv("PATH"), programName)
	}
	return path, nil
}

// lookPath returns the path of a program that was named by source.
func lookPath(source, program string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("%s: %w", source, err)
	}
	return path, nil
}
