// gvisor-sentry-prewarmer PROGRAM ARGV0 ARG… executes PROGRAM, as the program of this name in releases
// of gVisor does. That one also makes the kernel read PROGRAM into memory early, which only saves
// time; gVisor writes it in C, and the module gvisor.dev/gvisor does not have it.
package main

import (
	"fmt"
	"os"
	"syscall"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: gvisor-sentry-prewarmer PROGRAM ARGV0 ARG…")
		os.Exit(2)
	}
	err := syscall.Exec(os.Args[1], os.Args[2:], os.Environ())
	fmt.Fprintf(os.Stderr, "gvisor-sentry-prewarmer: %s: %v\n", os.Args[1], err)
	os.Exit(127)
}
