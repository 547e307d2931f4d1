// Build writes the packages of a release to a directory: a .deb, an .rpm, a tarball and an SBOM per
// architecture, and their checksums. The same checkout, version and Go make the same bytes, wherever
// and whenever it runs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "packages:", err)
		}
		os.Exit(1)
	}
}

// run makes the packages that the arguments ask for and lists them.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("build", flag.ContinueOnError)
	checkout := flags.String("checkout", "..", "`directory` of the checkout")
	out := flags.String("out", "../dist", "`directory` to write to; files of earlier versions stay")
	version := flags.String("version", "", "`version` of the program: what git describe --tags --always --dirty prints, or a tag")
	arches := flags.String("arch", "amd64,arm64", "`architectures` in Go's names, separated by commas")
	sbom := flags.String("sbom-tool", "../bin/cyclonedx-gomod", "`path` of cyclonedx-gomod")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *version == "" {
		return errors.New("there is no version: run this in a git checkout, or set it with VERSION=v1.2.3")
	}
	date, err := releaseDate(ctx, *checkout)
	if err != nil {
		return err
	}
	r := release{version: *version, date: date}
	if r.checkout, err = filepath.Abs(*checkout); err != nil {
		return err
	}
	if r.sbomTool, err = filepath.Abs(*sbom); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "sandmeter-packages-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	return r.write(ctx, work, *out, strings.Split(*arches, ","), stdout)
}

// releaseDate returns the time that all files in the packages have: SOURCE_DATE_EPOCH, else the time
// of the commit.
func releaseDate(ctx context.Context, checkout string) (time.Time, error) {
	epoch := os.Getenv("SOURCE_DATE_EPOCH")
	if epoch == "" {
		out, err := exec.CommandContext(ctx, "git", "-C", checkout, "log", "-1", "--format=%ct").Output()
		if err != nil {
			return time.Time{}, fmt.Errorf("there is no commit to take the date from: set SOURCE_DATE_EPOCH to seconds since 1970: %w", err)
		}
		epoch = strings.TrimSpace(string(out))
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q: give seconds since 1970", epoch)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
