package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/runsc/runsctest"
)

// TestSupportOfDebian: docs/support.md has the versions of Debian's programs with which the tests of
// this package run.
func TestSupportOfDebian(t *testing.T) {
	t.Parallel()
	release, err := os.ReadFile("/etc/os-release")
	if err != nil || !regexp.MustCompile(`(?m)^ID=debian$`).Match(release) || !regexp.MustCompile(`(?m)^VERSION_ID="?12"?$`).Match(release) {
		t.Skip("the page is about Debian 12")
	}
	page, err := os.ReadFile("../docs/support.md")
	if err != nil {
		t.Fatal(err)
	}
	check := func(name, program, pattern string, command ...string) {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(program); err != nil && name == "Docker" {
				noDocker(t, err.Error())
			} else if err != nil {
				runsctest.Unavailable(t, err)
			}
			out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			match := regexp.MustCompile(pattern).FindSubmatch(out)
			if match == nil {
				t.Fatalf("no version in\n%s", out)
			}
			if row := "| " + name + " | " + string(match[1]) + " |"; !strings.Contains(string(page), "\n"+row) {
				t.Errorf("docs/support.md has no row that begins with %q", row)
			}
		})
	}
	check("Docker", "dockerd", `version (\d+\.\d+)`, "dockerd", "--version")
	prometheus := filepath.Join("..", "bin/debian/prometheus")
	check("Prometheus", prometheus, `version (\d+\.\d+)`, prometheus, "--version")
	// The program does not tell its version.
	check("VictoriaMetrics", filepath.Join("..", "bin/debian/victoria-metrics"), `(?m)^Version: (\d+\.\d+)`,
		"apt-cache", "show", "--no-all-versions", "victoria-metrics")
}
