package main

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/packaging/program"
)

// TestSameBytes: the same sources in another directory, at another time, with another umask, another
// time zone and other settings of Go make the same bytes. Packing takes as long as all the rest, so for
// the other architecture this compares what goes into packages, and not the packages.
func TestSameBytes(t *testing.T) {
	b, dir, other := first(t), copyCheckout(t), otherArch(t)
	t.Setenv("SOURCE_DATE_EPOCH", strconv.FormatInt(epoch.Unix(), 10))
	t.Setenv("TZ", "Pacific/Auckland")
	hostileGo(t)
	defer unix.Umask(unix.Umask(0o077))
	out := t.TempDir()
	var listed bytes.Buffer
	err := run(t.Context(), []string{"-checkout", dir, "-version", b.version, "-arch", "amd64,arm64", "-out", out, "-sbom-tool", sbomTool}, &listed)
	if err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(b.made)
	if err != nil || len(names) != 4 {
		t.Fatalf("the packages are %v, %v", names, err)
	}
	for _, name := range names {
		want, got := read(t, filepath.Join(b.made, name.Name())), read(t, filepath.Join(out, name.Name()))
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs (%d and %d bytes)", name.Name(), len(got), len(want))
		}
	}
	other.wantIn(t, out, b.name(other.arch))
	wantSums(t, out, listed.String())
}

// wantSums fails the test unless SHA256SUMS has the four files of both architectures, which are listed.
func wantSums(t *testing.T, out, listed string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(out, "sandmeter*"))
	if err != nil || len(files) != 8 {
		t.Errorf("the files are %q, %v", files, err)
	}
	var sums strings.Builder
	for _, file := range files {
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(read(t, file)), filepath.Base(file))
		if !strings.Contains(listed, file+"\n") {
			t.Errorf("%s is not listed: %s", file, listed)
		}
	}
	wantLines(t, "SHA256SUMS", string(read(t, filepath.Join(out, "SHA256SUMS"))), sums.String())
}

// A compiled is what packaging/compile writes for an architecture.
type compiled struct{ arch, dir string }

// otherArch returns the program for the architecture that this machine does not have.
func otherArch(t *testing.T) compiled {
	t.Helper()
	c := compiled{map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH], t.TempDir()}
	if err := program.Write(t.Context(), checkout, c.dir, "v1.2.3", c.arch); err != nil {
		t.Fatal(err)
	}
	return c
}

// wantIn fails the test unless the tarball of a release, the .deb and the .rpm have exactly this program,
// and are for its architecture.
func (c compiled) wantIn(t *testing.T, out, name string) {
	t.Helper()
	needs(t, "tar", "dpkg-deb", "rpm")
	rpmArch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[c.arch]
	deb, rpm := filepath.Join(out, "sandmeter_1.2.3-1_"+c.arch+".deb"), filepath.Join(out, "sandmeter-1.2.3-1."+rpmArch+".rpm")
	wantLines(t, "the architecture of the .deb", outputOf(t, "dpkg-deb", "--field", deb, "Architecture"), c.arch)
	digest := fmt.Sprintf("%x", sha256.Sum256(read(t, filepath.Join(c.dir, program.Name))))
	files := outputOf(t, "rpm", "-qp", "--qf", "%{ARCH}\n[%{FILENAMES} %{FILEDIGESTS}\n]", rpm)
	if !strings.HasPrefix(files, rpmArch+"\n") || !strings.Contains(files, "\n/usr/bin/sandmeter "+digest+"\n") {
		t.Errorf("the .rpm does not have the program of %s:\n%s", c.arch, files)
	}
	unpacked := t.TempDir()
	outputOf(t, "dpkg-deb", "--extract", deb, unpacked)
	outputOf(t, "tar", "-xzf", filepath.Join(out, name+".tar.gz"), "-C", unpacked)
	for path, want := range map[string]string{
		"usr/bin/sandmeter": program.Name, name + "/sandmeter": program.Name, name + "/third-party-licenses.txt": program.LicensesName,
	} {
		if !bytes.Equal(read(t, filepath.Join(unpacked, path)), read(t, filepath.Join(c.dir, want))) {
			t.Errorf("%s for %s differs", path, c.arch)
		}
	}
}

// TestMakeVersion: the version that make gives the program does not depend on how git is configured
// to abbreviate commits, or on the size of the repository, which the default depends on.
func TestMakeVersion(t *testing.T) {
	needs(t, "make", "git")
	version := func() string {
		return outputOf(t, "make", "-s", "-C", checkout, "--no-print-directory", "--eval=version: ; @echo $(VERSION)", "version")
	}
	want := version()
	if strings.TrimSpace(want) == "" {
		unavailable(t, "git does not describe this checkout")
	}
	for name, value := range map[string]string{"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.abbrev", "GIT_CONFIG_VALUE_0": "20"} {
		t.Setenv(name, value)
	}
	wantLines(t, "the version", version(), want)
}

// TestMakeChecksums: the checksums of a release are those of all its files, whatever SHA256SUMS had before.
func TestMakeChecksums(t *testing.T) {
	needs(t, "make", "sha256sum")
	dir := t.TempDir()
	for name, text := range map[string]string{"sandmeter-1.tgz": "chart", "sandmeter-1.oci.tar": "image", "SHA256SUMS": "of packages only\n", "notes.txt": ""} {
		if err := stageFile(filepath.Join(dir, name), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time, there are checksums
		outputOf(t, "make", "-s", "-C", checkout, "--no-print-directory", "checksums", "DIST="+dir)
		wantLines(t, "SHA256SUMS", string(read(t, filepath.Join(dir, "SHA256SUMS"))), fmt.Sprintf("%x  sandmeter-1.oci.tar\n%x  sandmeter-1.tgz",
			sha256.Sum256([]byte("image")), sha256.Sum256([]byte("chart"))))
	}
}

// copyCheckout copies the sources of packages to a new directory.
func copyCheckout(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "another", "place")
	for _, part := range []string{"cmd", "config", "internal", "metricclient", "metricserver", "packaging"} {
		if err := os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join(checkout, part))); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"go.mod", "go.sum", "LICENSE", "CHANGELOG.md"} {
		if err := stageCopy(filepath.Join(dir, file), filepath.Join(checkout, file)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// hostileGo sets what changes the program: in the environment, and with go env -w.
func hostileGo(t *testing.T) {
	t.Helper()
	settings := filepath.Join(t.TempDir(), "goenv")
	t.Setenv("GOENV", settings)
	outputOf(t, "go", "env", "-w", "GOFLAGS=-tags=written", "GOEXPERIMENT=arenas", "GOAMD64=v3", "GOARM64=v8.2", "CGO_ENABLED=1")
	t.Setenv("GOFLAGS", "-tags=other")
	t.Setenv("GOAMD64", "v2")
	t.Setenv("GOARM64", "v8.1")
	t.Setenv("GOFIPS140", "latest")
}

func TestRunErrors(t *testing.T) {
	f := func(epoch, want string, args ...string) {
		t.Helper()
		t.Setenv("SOURCE_DATE_EPOCH", epoch)
		out := filepath.Join(t.TempDir(), "dist")
		err := run(t.Context(), append(args, "-out", out), io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
		if left, _ := os.ReadDir(out); len(left) > 0 {
			t.Errorf("%q leaves %v", args, left)
		}
	}
	f("1", "set it with VERSION=v1.2.3")
	f("soon", `SOURCE_DATE_EPOCH "soon": give seconds`, "-version", "v1")
	f("", "set SOURCE_DATE_EPOCH", "-version", "v1", "-checkout", t.TempDir())
	f("1", "go.mod file not found", "-version", "v1", "-checkout", t.TempDir())
}

// TestProgram: the program needs no library, has the version, and no symbol table.
func TestProgram(t *testing.T) {
	b := first(t)
	path := filepath.Join(b.stage, program.Name)
	if got := outputOf(t, path, "version"); !strings.HasPrefix(got, "sandmeter version v1.2.3 (") {
		t.Errorf("version prints %q", got)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the program is linked dynamically: %v", p.Type)
		}
	}
	if f.Section(".symtab") != nil || f.Section(".debug_info") != nil {
		t.Error("the program has symbols")
	}
}

// TestLicenses: the licenses of what is linked into the program are with it.
func TestLicenses(t *testing.T) {
	text := string(read(t, filepath.Join(first(t).stage, "third-party-licenses.txt")))
	for _, part := range []string{"==== The Go standard library go1", "==== github.com/prometheus/common v", "==== golang.org/x/sys v", "Redistribution and use in source and binary forms"} {
		if !strings.Contains(text, part) {
			t.Errorf("third-party-licenses.txt has no %q", part)
		}
	}
}

// TestSBOM: the SBOM has the modules of the program, and nothing that differs from build to build.
func TestSBOM(t *testing.T) {
	var bom struct {
		BOMFormat    string
		SerialNumber string
		Metadata     struct {
			Timestamp string
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, PURL string }
	}
	if err := json.Unmarshal(read(t, first(t).path(t, ".cdx.json")), &bom); err != nil {
		t.Fatal(err)
	}
	if bom.BOMFormat != "CycloneDX" || bom.SerialNumber != "" || bom.Metadata.Timestamp != "" {
		t.Errorf("the SBOM is of format %q, with serial number %q and time %q", bom.BOMFormat, bom.SerialNumber, bom.Metadata.Timestamp)
	}
	if c := bom.Metadata.Component; c.Version != "v1.2.3" || !strings.Contains(c.Name, "sandmeter/sandmeter") {
		t.Errorf("the SBOM is about %v", c)
	}
	have := map[string]string{}
	for _, c := range bom.Components {
		have[c.Name] = c.PURL
	}
	for _, name := range []string{"std", "github.com/prometheus/common", "github.com/spf13/cobra"} {
		if purl := have[name]; !strings.Contains(purl, "goarch="+runtime.GOARCH) {
			t.Errorf("the SBOM has %s as %q", name, purl)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
