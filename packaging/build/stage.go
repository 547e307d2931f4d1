package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/sandmeter/sandmeter/packaging/archive"
	"github.com/sandmeter/sandmeter/packaging/program"
)

// copied lists files and directories of the checkout that are in packages as they are: where they
// are staged, and where they come from.
var copied = map[string]string{
	"LICENSE":           "LICENSE",
	"CHANGELOG.md":      "CHANGELOG.md",
	"README.md":         "packaging/README.md",
	"sandmeter.default": "packaging/sandmeter.default",
	"systemd":           "packaging/systemd",
	"examples":          "packaging/examples",
	"deb":               "packaging/deb",
}

// stageCommon writes what the packages of all architectures have in common to a new directory. The
// native program, which runs here, writes a part of it.
func (r release) stageCommon(ctx context.Context, dir, native string) error {
	for to, from := range copied {
		if err := stageCopy(filepath.Join(dir, to), filepath.Join(r.checkout, from)); err != nil {
			return err
		}
	}
	return stageGenerated(ctx, dir, native)
}

// stageArch writes all that the packages of an architecture are made of to a new directory.
func (r release) stageArch(ctx context.Context, dir, common, arch string) error {
	if err := os.CopyFS(dir, os.DirFS(common)); err != nil {
		return err
	}
	if err := program.Write(ctx, r.checkout, dir, r.version, arch); err != nil {
		return err
	}
	if err := r.compress(dir); err != nil {
		return err
	}
	return normalize(dir, r.date)
}

// stageCopy copies a file, or the files of a directory, without their modes.
func stageCopy(to, from string) error {
	paths, err := filepath.Glob(filepath.Join(from, "*"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := stageCopy(filepath.Join(to, filepath.Base(path)), path); err != nil {
			return err
		}
	}
	if len(paths) > 0 {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return stageFile(to, data)
}

// stageFile writes a file, and its directory.
func stageFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

// completions are the paths of completion scripts, below the directory of all, by shell.
var completions = map[string]string{"bash": "bash/sandmeter", "zsh": "zsh/_sandmeter", "fish": "fish/sandmeter.fish"}

// stageGenerated writes what the program writes itself: completion scripts and man pages.
func stageGenerated(ctx context.Context, dir, native string) error {
	for shell, path := range completions {
		script, err := program.Output(exec.CommandContext(ctx, native, "completion", shell))
		if err != nil {
			return err
		}
		if err := stageFile(filepath.Join(dir, "completions", path), script); err != nil {
			return err
		}
	}
	man := filepath.Join(dir, "man")
	if err := os.MkdirAll(man, 0o755); err != nil {
		return err
	}
	_, err := program.Output(exec.CommandContext(ctx, native, "man", "--dir", man))
	return err
}

// compress writes what packages have in compressed form. Only they have it, so it is in a directory of
// its own.
func (r release) compress(stage string) error {
	debian := fmt.Sprintf("sandmeter (%s-1) unstable; urgency=medium\n\n  * See changelog.gz for the changes in this version.\n\n -- %s  %s\n",
		packageVersion(r.version, r.date), maintainer, r.date.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	if err := stageGzip(stage, "changelog.Debian", []byte(debian)); err != nil {
		return err
	}
	pages, err := filepath.Glob(filepath.Join(stage, "man", "*.1"))
	if err != nil {
		return err
	}
	from := map[string]string{"changelog": "CHANGELOG.md", "README.md": "README.md", program.LicensesName: program.LicensesName}
	for _, page := range pages {
		name := "man/" + filepath.Base(page)
		from[name] = name
	}
	for to, name := range from {
		data, err := os.ReadFile(filepath.Join(stage, name))
		if err != nil {
			return err
		}
		if err := stageGzip(stage, to, data); err != nil {
			return err
		}
	}
	return nil
}

// stageGzip writes compressed/NAME.gz.
func stageGzip(stage, name string, data []byte) error {
	data, err := archive.Gzip(data)
	if err != nil {
		return err
	}
	return stageFile(filepath.Join(stage, "compressed", name+".gz"), data)
}

// normalize gives all files and directories below a directory the same time, and modes that do not
// depend on the umask. Only the program is executable.
func normalize(dir string, at time.Time) error {
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := os.FileMode(0o644)
		if d.IsDir() || path == filepath.Join(dir, program.Name) {
			mode = 0o755
		}
		return errors.Join(os.Chmod(path, mode), os.Chtimes(path, at, at))
	})
}
