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

// findServer returns the path of the server program. A program set by the caller or the environment
// must exist; the search only runs if neither is set.
func findServer(given string) (string, error) {
	for _, set := range []struct{ source, program string }{{"Config.ServerPath", given}, {"$" + programEnv, os.Getenv(programEnv)}} {
		if set.program == "" {
			continue
		}
		path, err := exec.LookPath(set.program)
		if err != nil {
			return "", fmt.Errorf("%s: %w", set.source, err)
		}
		return path, nil
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
