package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // registers the packager of .deb
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm" // and that of .rpm

	"github.com/sandmeter/sandmeter/packaging/program"
)

// maintainer is that of nfpm.yaml, as changelogs of Debian have it.
const maintainer = "Sandmeter maintainers <sandmeter@users.noreply.github.com>"

// packages writes the .deb and the .rpm of an architecture.
func (r release) packages(stage, made, arch string) error {
	settings := map[string]string{"ARCH": arch, "PACKAGE_VERSION": packageVersion(r.version, r.date)}
	packaging := filepath.Join(r.checkout, "packaging")
	for _, format := range []string{"deb", "rpm"} {
		config, err := nfpm.ParseFileWithEnvMapping(filepath.Join(packaging, "nfpm.yaml"), func(name string) string { return settings[name] })
		if err != nil {
			return err
		}
		info, err := config.Get(format)
		if err != nil {
			return err
		}
		info.MTime = r.date
		for _, content := range info.Contents {
			if content.Type != files.TypeDir {
				content.Source = filepath.Join(stage, content.Source)
			}
		}
		for _, script := range []*string{&info.Scripts.PostInstall, &info.Scripts.PreRemove, &info.Scripts.PostRemove} {
			*script = filepath.Join(packaging, *script)
		}
		if err := writePackage(info, made, format); err != nil {
			return err
		}
	}
	return nil
}

// writePackage writes one package under its usual name.
func writePackage(info *nfpm.Info, made, format string) error {
	info = nfpm.WithDefaults(info)
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		return err
	}
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(made, packager.ConventionalFileName(info)))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := packager.Package(info, f); err != nil {
		return err
	}
	return f.Close()
}

// sbom writes which modules a program consists of, without a time and a serial number.
func (r release) sbom(ctx context.Context, path, out, arch string) error {
	env, err := program.Env(ctx, arch) // names of modules have an architecture, and the tool takes it from here
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, r.sbomTool, "bin", "-json", "-std", "-noserial", "-notimestamp", "-version", r.version, "-output", out, path)
	cmd.Env = env
	_, err = program.Output(cmd)
	return err
}
