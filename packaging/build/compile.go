package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
)

// compile builds the program. Its bytes depend on the checkout, the version and Go only: flags of the
// user's environment, paths and symbol tables are left out.
func (r release) compile(ctx context.Context, out, arch string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath",
		"-ldflags", "-s -w -X main.version="+r.version, "-o", out, "./cmd/sandmeter")
	cmd.Dir = r.checkout
	cmd.Env = compileEnv(arch)
	_, err := output(cmd)
	return err
}

// compileEnv returns the environment of this process with Go's settings for the architecture: the
// oldest processors of it, and no cgo.
func compileEnv(arch string) []string {
	env := os.Environ()
	kept := env[:0]
	for _, setting := range env {
		switch name, _, _ := strings.Cut(setting, "="); name {
		case "GOFLAGS", "GOEXPERIMENT", "GOFIPS140", "GOWORK":
		default:
			kept = append(kept, setting)
		}
	}
	return append(kept, "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOAMD64=v1", "GOARM64=v8.0", "GOWORK=off")
}
