package program

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

// moduleLicenses returns the licenses of everything that is linked into a program: its modules, and Go. The
// modules are found from the checkout that the program is compiled from.
func moduleLicenses(ctx context.Context, checkout, program string) ([]byte, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	root, err := Output(exec.CommandContext(ctx, "go", "env", "GOROOT"))
	if err != nil {
		return nil, err
	}
	if err := appendLicenses(&b, "The Go standard library "+info.GoVersion, strings.TrimSpace(string(root))); err != nil {
		return nil, err
	}
	for _, module := range info.Deps {
		dir, err := moduleDir(ctx, checkout, module.Path+"@"+module.Version)
		if err != nil {
			return nil, err
		}
		if err := appendLicenses(&b, module.Path+" "+module.Version, dir); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// moduleDir returns the directory of a module in Go's cache, where it was compiled from.
func moduleDir(ctx context.Context, checkout, module string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	cmd.Dir = checkout
	out, err := Output(cmd)
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
