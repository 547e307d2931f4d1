package architecture

import (
	"go/build"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/sandmeter/sandmeter/"
)

// mayImport lists, for each package, the packages of this module and of others that it may import.
// Data flows from the first stage to the last, and a stage imports only earlier stages. A new
// package gets a line here and in ARCHITECTURE.md.
var mayImport = map[string][]string{
	// The public packages. The client is for any Unix and any program, so it has no dependencies.
	"config":       {},
	"metricclient": {"config"},
	"metricserver": {"config", "internal/api", "internal/collect", "internal/clock", "internal/expo", "internal/fact", "internal/families", "internal/guard", "internal/page", "internal/privilege", "internal/records", "internal/registration", "internal/roots", "internal/schema", "internal/snapshot", "internal/totals", "internal/web",
		"github.com/prometheus/client_golang/prometheus", "github.com/prometheus/client_golang/prometheus/collectors", "github.com/prometheus/client_model/go", "github.com/prometheus/exporter-toolkit/web",
		"golang.org/x/sys/unix", "golang.org/x/time/rate"},

	// The stages, in the order in which data flows. Only control and verify see raw bytes of a
	// sandbox. Only collect imports packages of both sides of the snapshot. Later stages read the
	// snapshot, and never import verify, control, state or host. share and web also import collect,
	// for the types with which they ask for a collection and receive its error.
	"internal/failure":    {},
	"internal/jscan":      {},
	"internal/fact":       {},
	"internal/claims":     {"internal/fact"},
	"internal/clock":      {},
	"internal/queue":      {},
	"internal/trust":      {},
	"internal/state":      {"internal/jscan", "golang.org/x/sys/unix"},
	"internal/host":       {"internal/fact", "internal/procevents", "golang.org/x/sys/unix"},
	"internal/procevents": {"golang.org/x/sys/unix"},
	"internal/guard":      {"internal/clock"},
	"internal/control":    {"internal/failure", "internal/guard", "golang.org/x/sys/unix"},
	"internal/schema":     {"internal/jscan"},
	"internal/verify":     {"internal/control", "internal/jscan", "internal/schema", "internal/snapshot"},
	"internal/snapshot":   {"internal/fact", "internal/failure", "internal/schema", "github.com/prometheus/client_model/go"},
	// registration runs runsc, and not internal/runsc, which is for tests and tools. containerd reads
	// its configuration with the same TOML package.
	"internal/registration": {"internal/host", "internal/schema", "internal/state", "internal/trust", "github.com/pelletier/go-toml/v2", "golang.org/x/sys/unix",
		"google.golang.org/protobuf/encoding/prototext", "google.golang.org/protobuf/encoding/protowire", "google.golang.org/protobuf/protoadapt"},
	"internal/totals": {"internal/fact", "internal/schema", "internal/snapshot"},
	"internal/roots":  {"internal/guard", "internal/state", "golang.org/x/sys/unix"},
	"internal/proof":  {"internal/control", "internal/failure", "internal/host", "internal/state", "golang.org/x/sys/unix"},
	"internal/collect": {"config", "internal/claims", "internal/clock", "internal/control", "internal/fact", "internal/failure", "internal/guard", "internal/host", "internal/proof", "internal/registration", "internal/roots", "internal/schema", "internal/snapshot", "internal/state",
		"internal/totals", "internal/verify", "github.com/prometheus/client_model/go", "golang.org/x/sys/unix"},
	// Only families names families and labels, besides the registered metrics. collect, totals, records and api do without.
	"internal/families": {"internal/fact", "internal/failure", "internal/schema", "internal/snapshot"},
	"internal/page":     {"internal/families", "internal/schema", "internal/snapshot", "github.com/prometheus/client_model/go"},
	"internal/expo": {"internal/page", "internal/schema", "internal/snapshot", "github.com/klauspost/compress/gzip", "github.com/klauspost/compress/zstd",
		"github.com/prometheus/client_model/go", "github.com/prometheus/common/expfmt", "google.golang.org/protobuf/encoding/protodelim", "google.golang.org/protobuf/encoding/protowire"},
	"internal/share":   {"internal/clock", "internal/collect", "internal/snapshot", "golang.org/x/time/rate"},
	"internal/api":     {"internal/failure", "internal/schema", "internal/snapshot"},
	"internal/records": {"internal/fact", "internal/queue", "internal/schema", "internal/snapshot"},
	"internal/web":     {"internal/api", "internal/clock", "internal/expo", "internal/failure", "internal/page", "internal/share", "internal/snapshot", "golang.org/x/sys/unix", "golang.org/x/time/rate"},

	// The capabilities of the process.
	"internal/privilege": {"golang.org/x/sys/unix"},

	// What the command doctor says. doctor judges values, among them the documents of servers; observe gets
	// these documents, from a server in its own process too.
	"internal/doctor":         {"internal/api"},
	"internal/doctor/observe": {"metricclient", "metricserver", "internal/api", "internal/clock", "internal/doctor", "internal/guard", "internal/trust", "golang.org/x/sys/unix"},

	// Packages for tests and tools. Simulated sandboxes import no package of the server, so that a
	// mistake in one is not repeated in the other.
	"internal/simulate":        {"golang.org/x/sys/unix"},
	"internal/simulate/liars":  {"internal/simulate"},
	"internal/runsc":           {"golang.org/x/sys/unix"},
	"internal/runsc/runsctest": {"internal/runsc"},
	"internal/leaktest":        {},
	"internal/clientconfig":    {"metricclient", "github.com/prometheus/common/config", "go.yaml.in/yaml/v2"},
	"internal/testkit":         {"internal/simulate", "internal/simulate/liars"},
	"internal/architecture":    {},

	// The program sees the stages only through metricserver; to list a root it asks state and
	// proof.
	"internal/cli": {"config", "github.com/spf13/cobra", "github.com/spf13/pflag", "golang.org/x/term"},
	"cmd/sandmeter": {"config", "metricclient", "metricserver", "internal/api", "internal/cli", "internal/clientconfig", "internal/doctor",
		"internal/doctor/observe", "internal/proof", "internal/queue", "internal/state",
		"github.com/coreos/go-systemd/v22/activation", "github.com/coreos/go-systemd/v22/daemon", "github.com/spf13/cobra", "github.com/spf13/pflag"},
	"cmd/sandlab": {"config", "internal/cli", "internal/runsc", "internal/simulate", "github.com/spf13/cobra", "golang.org/x/sys/unix"},

	// The bench sees nothing but processes.
	"bench": {"golang.org/x/sys/unix"},

	// mutants reads the code as text.
	"mutants": {},
}

// TestOnlyFamiliesNames: the packages that make and read facts name no family and build no label set.
func TestOnlyFamiliesNames(t *testing.T) {
	for _, dir := range []string{"internal/collect", "internal/totals", "internal/records", "internal/api", "internal/fact", "internal/claims", "internal/host"} {
		if slices.Contains(mayImport[dir], "internal/families") {
			t.Errorf("package %s may not import families", dir)
		}
		for file, text := range sources(t, dir) {
			for _, name := range []string{`"sandmeter_`, `"meta_`, `"container_`, "NewLabelSet(", "snapshot.Label{", "snapshot.LabelSet"} {
				if strings.Contains(text, name) {
					t.Errorf("%s has %s: only families names families and labels", file, name)
				}
			}
		}
	}
}

// sources returns the texts of a package's files without tests, by path.
func sources(t *testing.T, dir string) map[string]string {
	files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(file, "_test.go") {
			texts[file] = string(text)
		}
	}
	return texts
}

// TestOneClock: collect and share use no clock but the injected one.
func TestOneClock(t *testing.T) {
	for _, dir := range []string{"internal/collect", "internal/share"} {
		for file, text := range sources(t, dir) {
			for _, call := range []string{"time.Now(", "time.Since(", "time.Until(", "time.After", "time.NewTimer(", "time.NewTicker(", "time.Tick(", "time.Sleep(",
				"context.WithTimeout(", "context.WithDeadline("} {
				if strings.Contains(text, call) {
					t.Errorf("%s has %s: use the clock of the options", file, call)
				}
			}
		}
	}
}

// onlyIn has what is for some packages only, and why.
var onlyIn = map[string]struct {
	packages []string
	why      string
}{
	"os/signal": {[]string{"cmd/sandmeter", "cmd/sandlab", "bench", "mutants"}, "signals are the program's: who embeds the server has his own"},
	"flag":      {[]string{"bench", "config", "internal/leaktest", "mutants"}, "flags are the program's"},
	"unsafe":    {[]string{"internal/privilege"}, "only a system call on all threads takes pointers as numbers"},
	"os/exec": {[]string{"bench", "cmd/sandlab", "internal/registration", "internal/runsc", "internal/simulate", "metricclient", "mutants"},
		"the server runs no other program than runsc"},
	"html/template": {nil, "it keeps every exported method in the program: 2 MB of each server's memory"},
	"net/http":      {[]string{"bench", "metricclient", "metricserver", "internal/clientconfig", "internal/web"}, "HTTP ends in web"},
}

func TestImports(t *testing.T) {
	for _, dir := range packages(t) {
		allowed, known := mayImport[dir]
		if !known {
			t.Errorf("package %s has no line in mayImport", dir)
		}
		for _, path := range imports(t, dir) {
			own, isOwn := strings.CutPrefix(path, module)
			if (isOwn || strings.Contains(strings.Split(path, "/")[0], ".")) && !slices.Contains(allowed, own) {
				t.Errorf("package %s may not import %s", dir, own)
			}
			if rule, limited := onlyIn[path]; limited && !slices.Contains(rule.packages, dir) {
				t.Errorf("package %s may not import %s: %s", dir, path, rule.why)
			}
		}
	}
}

// TestThreeRules holds the rules that ARCHITECTURE.md begins with, whatever mayImport says.
func TestThreeRules(t *testing.T) {
	left := []string{"internal/state", "internal/host", "internal/control", "internal/verify"}
	for _, dir := range packages(t) {
		if dir == "cmd/sandmeter" {
			continue // it lists roots without a snapshot
		}
		var seesLeft, seesRight bool
		for _, path := range imports(t, dir) {
			own := strings.TrimPrefix(path, module)
			seesLeft = seesLeft || slices.Contains(left, own)
			seesRight = seesRight || own == "internal/snapshot" || own == "internal/collect"
		}
		if seesLeft && seesRight && dir != "internal/collect" && dir != "internal/verify" {
			t.Errorf("package %s sees both sides of the snapshot: only collect may, and verify makes its values", dir)
		}
		if dir == "internal/control" || dir == "internal/verify" {
			continue
		}
		for file, text := range sources(t, dir) {
			if strings.Contains(text, ".Untrusted()") {
				t.Errorf("%s looks into the raw bytes of a sandbox: only control and verify may", file)
			}
		}
	}
}

// TestServerHasNoTools: the server links neither simulated sandboxes nor code that creates real ones.
func TestServerHasNoTools(t *testing.T) {
	list := exec.Command("go", "list", "-deps", "./cmd/sandmeter")
	list.Dir = root
	deps, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(deps)) {
		dir := strings.TrimPrefix(strings.TrimSpace(line), module)
		for _, tool := range []string{"internal/simulate", "internal/runsc", "internal/testkit", "internal/leaktest", "cmd/sandlab"} {
			if dir == tool || strings.HasPrefix(dir, tool+"/") {
				t.Errorf("cmd/sandmeter has %s in it", dir)
			}
		}
	}
}

// TestRulesAreOfPackages finds rules that are about nothing any more.
func TestRulesAreOfPackages(t *testing.T) {
	have := packages(t)
	for dir, allowed := range mayImport {
		if !slices.Contains(have, dir) {
			t.Errorf("mayImport has a line for %s, which is no package", dir)
			continue
		}
		for _, path := range allowed {
			if got := imports(t, dir); !slices.Contains(got, path) && !slices.Contains(got, module+path) {
				t.Errorf("package %s may import %s, and does not", dir, path)
			}
		}
	}
}

// packages are the folders of the module that have Go code, nested modules left out.
func packages(t *testing.T) []string {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, path)
		if err != nil || !d.IsDir() || dir == "." {
			return err
		}
		if name := d.Name(); name == "testdata" || strings.HasPrefix(name, ".") || dir == "bin" {
			return fs.SkipDir
		}
		if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil {
			return fs.SkipDir
		}
		if files, _ := filepath.Glob(filepath.Join(path, "*.go")); len(files) > 0 {
			dirs = append(dirs, dir)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) == 0 {
		t.Fatal("no packages found")
	}
	return dirs
}

// imports are those of the package's code, its tests left out.
func imports(t *testing.T, dir string) []string {
	t.Helper()
	p, err := build.ImportDir(filepath.Join(root, dir), 0)
	if err != nil {
		t.Fatal(err)
	}
	return p.Imports
}
