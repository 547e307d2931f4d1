// Compile writes what packages and images of a release have in common for an architecture: the
// program, sandmeter, and the licenses of what is linked into it, third-party-licenses.txt.
//
//	compile -version v1.2.3 -arch arm64 -dir DIR
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"

	"github.com/sandmeter/sandmeter/packaging/program"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "compile:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("compile", flag.ContinueOnError)
	checkout := flags.String("checkout", "..", "`directory` of the checkout")
	version := flags.String("version", "", "`version` of the program")
	arch := flags.String("arch", runtime.GOARCH, "`architecture` in Go's name")
	dir := flags.String("dir", "", "`directory` to write to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dir == "" {
		return errors.New("give -dir")
	}
	return program.Write(ctx, *checkout, *dir, *version, *arch)
}
