// Command pack writes the Helm chart as a package that helm installs: the same bytes for the same
// chart and version, unlike `helm package`, which stores the time.
//
//	pack -version v1.2.3 -out ../dist sandmeter
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("pack", flag.ContinueOnError)
	out := flags.String("out", ".", "`directory` to write to")
	version := flags.String("version", "", "`version` of the program: what git describe --tags --always --dirty prints, or a tag")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("give the directory of one chart")
	}
	if *version == "" {
		return errors.New("there is no version: run this in a git checkout, or set it with VERSION=v1.2.3")
	}
	name, content, err := pack(flags.Arg(0), *version)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	path := filepath.Join(*out, name)
	fmt.Println(path)
	return os.WriteFile(path, content, 0o644)
}
