package architecture

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the versions in docs/support.md anew")

// supportFile has the versions of pinned between two comments.
const (
	supportFile    = "docs/support.md"
	versionsBegin  = "<!-- Written by: go test ./internal/architecture -run TestSupportedVersions -update -->\n"
	versionsEnd    = "<!-- End of what the test writes -->\n"
	versionsHeader = "| program | version | pinned in | what the tests do with it |\n| --- | --- | --- | --- |\n"
)

// A pin is a version with which the tests run: that of a module in a go.mod or in the configuration
// of the OpenTelemetry collector's builder, or of Go itself.
type pin struct {
	program string
	module  string // "go": the version of Go
	file    string
	shown   func(version string) string
	use     string
}

// pinned are the versions in docs/support.md, in order. A line without its file has no row: not
// every checkout has all modules.
var pinned = []pin{
	{"Go", "go", "go.mod", atLeast, "Builds the programs, on Linux. `metricclient` and `config` are also checked for macOS."},
	{"runsc", "gvisor.dev/gvisor", "tools/go.mod", dated, "All tests with real sandboxes, in the layout of a release: `runsc` and `gvisor-bin/`."},
	{"runsc, older", "gvisor.dev/gvisor", "tools/runsc-older/go.mod", dated, "One program, without `gvisor-bin/`. One server serves sandboxes of this release and of the one above, from one runtime root and from two: metrics, CPU time of containers, and every source of registrations."},
	{"Prometheus", "github.com/prometheus/prometheus", "tools/prometheus/go.mod", prometheus, "Scrapes real sandboxes in each of the formats, over HTTP and HTTPS."},
	{"Prometheus's parsers", "github.com/prometheus/prometheus", "e2e/go.mod", prometheus, "Read pages in each of the formats."},
	{"OpenTelemetry collector", "github.com/open-telemetry/opentelemetry-collector-contrib/receiver/prometheusreceiver", "e2e/testdata/otelcol.yaml", plain, "Scrapes the server and ships samples and records, if `make bin/otelcol` built it before the tests."},
	{"containerd", "github.com/containerd/containerd/v2", "tools/containerd/go.mod", plain, "Runs pods and containers with runsc's shim."},
	{"Kubernetes", "k8s.io/kubernetes", "tools/kubernetes/go.mod", plain, "A node with kubelet, API server, scheduler and controller manager."},
	{"Helm", "helm.sh/helm/v3", "tools/helm/go.mod", plain, "Renders the chart."},
}

func plain(version string) string   { return strings.TrimPrefix(version, "v") }
func atLeast(version string) string { return majorMinor.FindString(version) + " or newer" }

// prometheus returns the release of a version of Prometheus's module: v0.316.0 is 3.16.0.
func prometheus(version string) string {
	return prometheusModule.ReplaceAllString(version, "$1.$2")
}

// dated returns a version made of a time and a commit with its date.
func dated(version string) string {
	return pseudoVersion.ReplaceAllString(version, "$1-$2-$3 (`$0`)")
}

var (
	majorMinor       = regexp.MustCompile(`^\d+\.\d+`)
	prometheusModule = regexp.MustCompile(`^v0\.(\d)0?(\d+\.\d+)$`)
	pseudoVersion    = regexp.MustCompile(`^v0\.0\.0-(\d{4})(\d{2})(\d{2})\d{6}-[0-9a-f]{12}$`)
)

// versionIn returns the version of a module in the text of a go.mod.
func versionIn(text, module string) (string, error) {
	line := regexp.MustCompile(`(?m)^(?:require\s+|\s*- gomod:\s+|\s*)` + regexp.QuoteMeta(module) + `\s+(v?\d\S+)`)
	match := line.FindStringSubmatch(text)
	if match == nil {
		return "", fmt.Errorf("no version of %s", module)
	}
	return match[1], nil
}

// versions returns the table of pinned versions.
func versions(t *testing.T) string {
	t.Helper()
	table := versionsHeader
	for _, p := range pinned {
		text, err := os.ReadFile(filepath.Join(root, p.file))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		version, err := versionIn(string(text), p.module)
		if err != nil {
			t.Fatalf("%s: %v", p.file, err)
		}
		table += fmt.Sprintf("| %s | %s | `%s` | %s |\n", p.program, p.shown(version), p.file, p.use)
	}
	return table
}

// TestSupportedVersions: docs/support.md has the versions with which the tests run.
func TestSupportedVersions(t *testing.T) {
	path := filepath.Join(root, supportFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, began := strings.Cut(string(text), versionsBegin)
	_, after, ended := strings.Cut(rest, versionsEnd)
	if !began || !ended {
		t.Fatalf("%s has no lines\n%s%s", supportFile, versionsBegin, versionsEnd)
	}
	want := before + versionsBegin + "\n" + versions(t) + "\n" + versionsEnd + after
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatalf("%s has other versions than\n%s; write them with: go test ./internal/architecture -run TestSupportedVersions -update", supportFile, versions(t))
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
