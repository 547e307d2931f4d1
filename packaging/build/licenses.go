package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// licenses writes the licenses of everything that is linked into a program: its modules, and Go.
func (r release) licenses(ctx context.Context, program, out string) error {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	root, err := output(exec.CommandContext(ctx, "go", "env", "GOROOT"))
	if err != nil {
		return err
	}
	if err := appendLicenses(&b, "The Go standard library "+info.GoVersion, strings.TrimSpace(string(root))); err != nil {
		return err
	}
	for _, module := range info.Deps {
		dir, err := r.moduleDir(ctx, module.Path+"@"+module.Version)
		if err != nil {
			return err
		}
		if err := appendLicenses(&b, module.Path+" "+module.Version, dir); err != nil {
			return err
		}
	}
	return stageFile(out, b.Bytes())
}

// moduleDir returns the directory of a module in Go's cache, where it was compiled from.
func (r release) moduleDir(ctx context.Context, module string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	cmd.Dir = r.checkout
	out, err := output(cmd)
	if err != nil {
		return "", err
	}
	var m struct{ Dir string }
	return m.Dir, json.Unmarshal(out, &m)
}

// licenseFile matches the names that files with licenses and notices have.
var licenseFile = regexp.MustCompile(`^(?i:licen[cs]e|copying|notice|patents)(?i:[.-].*)?$`)

// appendLicenses appends the licenses in a directory, below a title. A directory without one is an
// error, because what has no license cannot be distributed.
func appendLicenses(b *bytes.Buffer, title, dir string) error {
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return err
	}
	found := false
	for _, e := range entries {
		if e.IsDir() || !licenseFile.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		found = true
		fmt.Fprintf(b, "==== %s: %s\n\n%s\n\n", title, e.Name(), bytes.TrimSpace(text))
	}
	if !found {
		return fmt.Errorf("%s has no license in %s", title, dir)
	}
	return nil
}
