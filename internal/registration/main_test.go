package registration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/leaktest"
)

// TestMain makes a copy of the test binary whose name begins with runsc a simulated runsc.
func TestMain(m *testing.M) {
	if strings.HasPrefix(filepath.Base(os.Args[0]), programName) {
		simulateRunsc(os.Args[1])
		return
	}
	leaktest.Main(m)
}

// testVersion is the version of a simulated runsc, unless its name has another one.
const testVersion = noVersion

// simulateRunsc counts its runs in a file beside it, and writes what runsc writes.
func simulateRunsc(command string) {
	log, err := os.OpenFile(os.Args[0]+".log", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer log.Close()
	fmt.Fprintln(log, command)
	switch command {
	case "--version":
		version := testVersion
		if _, named, ok := strings.Cut(filepath.Base(os.Args[0]), "-release-"); ok {
			version = "release-" + named
		}
		fmt.Printf("%s %s\nspec: 1.2.1\n", versionHas, version)
	case "metric-metadata":
		fmt.Print(short)
	}
}

// short is a registration of one metric in the text format, and shortJSON the same as JSON.
const (
	short     = `metrics: { name: "/a" prometheus_name: "a" description: "d" cumulative: true }` + "\n"
	shortJSON = `{"metrics":[{"name":"/a","prometheus_name":"a","description":"d","cumulative":true}],"stages":null}`
)
