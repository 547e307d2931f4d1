// Package program compiles the server for release, and collects the licenses of what is linked into
// it. Packages and images have the same program: its bytes depend on the checkout, the version and
// Go only.
package program

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// The names of the program and of its licenses, in packages and images and where they are prepared.
const (
	Name         = "sandmeter"
	LicensesName = "third-party-licenses.txt"
)

// Write writes what packages and images have in common for an architecture to a directory, which
// exists: the program, and the licenses of what is linked into it.
func Write(ctx context.Context, checkout, dir, version, arch string) error {
	path, err := filepath.Abs(filepath.Join(dir, Name))
	if err != nil {
		return err
	}
	if err := Compile(ctx, checkout, path, version, arch); err != nil {
		return err
	}
	licenses, err := moduleLicenses(ctx, checkout, path)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, LicensesName), licenses, 0o644)
}

// Compile compiles the server of a checkout for an architecture, in Go's name. Settings of the user,
// paths and symbol tables are left out.
func Compile(ctx context.Context, checkout, out, version, arch string) error {
	env, err := Env(ctx, arch)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath",
		"-ldflags", "-s -w -X main.version="+version, "-o", out, "./cmd/sandmeter")
	cmd.Dir, cmd.Env = checkout, env
	_, err = Output(cmd)
	return err
}

// kept are the settings of Go that stay as the user has them: where it finds modules and keeps files,
// and which release of Go it is.
var kept = []string{
	"GOAUTH", "GOCACHE", "GOCACHEPROG", "GOINSECURE", "GOMODCACHE", "GONOPROXY", "GONOSUMDB", "GOPATH", "GOPRIVATE",
	"GOPROXY", "GOSUMDB", "GOTMPDIR", "GOTOOLCHAIN", "GOVCS",
}

// Env returns the environment in which Go makes the same bytes for everyone: that of this process,
// with Go's defaults for the architecture, which are the oldest processors of it, and without cgo.
// What `go env -w` has set does not count either.
func Env(ctx context.Context, arch string) ([]string, error) {
	out, err := Output(exec.CommandContext(ctx, "go", append([]string{"env", "-json"}, kept...)...))
	if err != nil {
		return nil, err
	}
	settings := map[string]string{}
	if err := json.Unmarshal(out, &settings); err != nil {
		return nil, err
	}
	var env []string
	for _, setting := range os.Environ() {
		if !strings.HasPrefix(setting, "GO") && !strings.HasPrefix(setting, "CGO_") {
			env = append(env, setting)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		env = append(env, name+"="+settings[name])
	}
	return append(env, "GOENV=off", "GOWORK=off", "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOAMD64=v1", "GOARM64=v8.0"), nil
}

// Output runs a command and returns its output. An error has what it wrote to standard error.
func Output(cmd *exec.Cmd) ([]byte, error) {
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	return out, nil
}
