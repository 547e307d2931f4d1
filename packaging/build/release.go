package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/packaging/program"
)

// A release is what all packages of a version have in common.
type release struct {
	checkout string // absolute path of the checkout
	sbomTool string // absolute path of cyclonedx-gomod
	version  string // of the program, as `sandmeter version` prints it
	date     time.Time
}

// write writes the packages for the architectures, and SHA256SUMS, to a directory, and lists them on
// stdout. Nothing is written there unless all packages could be made, in the directory work.
func (r release) write(ctx context.Context, work, out string, arches []string, stdout io.Writer) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	native := filepath.Join(work, "native")
	if err := program.Compile(ctx, r.checkout, native, r.version, runtime.GOARCH); err != nil {
		return err
	}
	common := filepath.Join(work, "common")
	if err := r.stageCommon(ctx, common, native); err != nil {
		return err
	}
	made := filepath.Join(work, "made")
	if err := os.Mkdir(made, 0o755); err != nil {
		return err
	}
	for _, arch := range arches {
		stage := filepath.Join(work, arch)
		if err := r.stageArch(ctx, stage, common, arch); err != nil {
			return fmt.Errorf("%s: %w", arch, err)
		}
		if err := r.pack(ctx, stage, made, arch); err != nil {
			return fmt.Errorf("%s: %w", arch, err)
		}
	}
	names, err := publish(made, out)
	for _, name := range names {
		fmt.Fprintln(stdout, filepath.Join(out, name))
	}
	return err
}

// pack writes all packages of an architecture to made.
func (r release) pack(ctx context.Context, stage, made, arch string) error {
	if err := r.packages(stage, made, arch); err != nil {
		return err
	}
	name := r.name(arch)
	if err := r.tarball(filepath.Join(made, name+".tar.gz"), name, stage); err != nil {
		return err
	}
	return r.sbom(ctx, filepath.Join(stage, program.Name), filepath.Join(made, name+".cdx.json"), arch)
}

// name returns the name of an architecture's files, without an extension.
func (r release) name(arch string) string {
	return "sandmeter-" + strings.TrimPrefix(r.version, "v") + "-linux-" + arch
}

// publish moves files to the directory for users, with their checksums, and returns their names.
func publish(made, out string) ([]string, error) {
	entries, err := os.ReadDir(made) // sorted
	if err != nil {
		return nil, err
	}
	var names []string
	var sums strings.Builder
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(made, e.Name()))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(data), e.Name())
		if err := os.WriteFile(filepath.Join(out, e.Name()), data, 0o644); err != nil {
			return nil, err
		}
		names = append(names, e.Name())
	}
	return append(names, "SHA256SUMS"), os.WriteFile(filepath.Join(out, "SHA256SUMS"), []byte(sums.String()), 0o644)
}
