// Runsc simulates runsc: it counts its runs in a file next to it, and writes what runsc writes. The
// version is VERSION_MISSING, or the one in the name of the program. A program whose name ends in -empty
// prints no metrics.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	log, err := os.OpenFile(os.Args[0]+".log", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer log.Close()
	fmt.Fprintln(log, os.Args[1])
	switch os.Args[1] {
	case "--version":
		version := "VERSION_MISSING"
		if _, named, ok := strings.Cut(filepath.Base(os.Args[0]), "-release-"); ok {
			version = "release-" + named
		}
		fmt.Printf("runsc version %s\nspec: 1.2.1\n", version)
	case "metric-metadata":
		if strings.HasSuffix(os.Args[0], "-empty") {
			return
		}
		fmt.Println(`metrics: { name: "/a" prometheus_name: "a" description: "d" cumulative: true }`)
	}
}
