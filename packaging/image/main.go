// Command image writes the OCI images of a release as tar files, without a registry and without a
// container engine:
//
//	image -version 1.2.3 -revision 6ce2e1c -created 1790000000 -license LICENSE -dir dist amd64=DIR arm64=DIR
//
// DIR is what packaging/compile writes for an architecture: the program, and the licenses of others.
// For each architecture it writes sandmeter-VERSION-ARCH.oci.tar, which is an OCI image layout and
// also what `docker load` of any release takes. sandmeter-VERSION.oci.tar is an OCI image layout
// with the images of all architectures. The same input gives the same bytes.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/packaging/program"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// run writes all images of a release, and the paths and digests of the files to out.
func run(args []string, out io.Writer) error {
	rel, dir, err := parse(args)
	if err != nil {
		return err
	}
	files, err := rel.files()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if err := os.WriteFile(path, f.content, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s %s@%s\n", path, rel.reference(), f.digest)
	}
	return nil
}

// parse returns the release that a command line describes, and the directory for its images.
func parse(args []string) (rel release, dir string, err error) {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.StringVar(&rel.name, "name", "sandmeter", "`repository` of the image, with a registry if it has one")
	flags.StringVar(&rel.version, "version", "", "`version` of the release, and tag of the image")
	flags.StringVar(&rel.revision, "revision", "", "`commit` that the programs are built from")
	license := flags.String("license", "", "`file` with the license")
	flags.StringVar(&dir, "dir", "dist", "`directory` for the images")
	created := flags.Int64("created", 0, "time of the commit, in `seconds` since 1970")
	if err := flags.Parse(args); err != nil {
		return rel, dir, err
	}
	if rel.license, err = os.ReadFile(*license); err != nil {
		return rel, dir, fmt.Errorf("-license: %w", err)
	}
	rel.created = time.Unix(*created, 0).UTC()
	rel.programs, err = readPrograms(flags.Args())
	return rel, dir, errors.Join(err, rel.check())
}

// readPrograms reads programs and their licenses, which are given as ARCH=DIR.
func readPrograms(args []string) ([]server, error) {
	var programs []server
	for _, arg := range args {
		arch, dir, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, fmt.Errorf("%s is not ARCH=DIR", strconv.Quote(arg))
		}
		content, err := os.ReadFile(filepath.Join(dir, program.Name))
		if err != nil {
			return nil, err
		}
		licenses, err := os.ReadFile(filepath.Join(dir, program.LicensesName))
		if err != nil {
			return nil, err
		}
		programs = append(programs, server{arch, content, licenses})
	}
	return programs, nil
}
