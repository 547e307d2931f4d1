package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/packaging/program"
)

var assignment = regexp.MustCompile(`(?m)^#?(SANDMETER_[A-Z_]+)=(.*)$`)

// TestSettings: each variable of the settings is a flag of serve, also those that are commented out,
// and with missing settings the unit serves the same roots.
func TestSettings(t *testing.T) {
	b := first(t)
	help := outputOf(t, filepath.Join(b.stage, program.Name), "serve", "--help")
	text := string(read(t, filepath.Join(b.stage, "sandmeter.default")))
	unit := string(read(t, filepath.Join(b.stage, "systemd", "sandmeter.service")))
	found := assignment.FindAllStringSubmatch(text, -1)
	if len(found) < 5 {
		t.Fatalf("the settings are %q", found)
	}
	for _, f := range found {
		// Dots and dashes of flags are underscores in variables.
		name := strings.ToLower(strings.TrimPrefix(f[1], "SANDMETER_"))
		if !regexp.MustCompile(`--` + strings.ReplaceAll(name, "_", "[.-]") + `\b`).MatchString(help) {
			t.Errorf("serve has no flag for %s", f[1])
		}
		if commented := strings.HasPrefix(f[0], "#"); !commented && !strings.Contains(unit, "\nEnvironment="+f[0]+"\n") {
			t.Errorf("the unit has no Environment=%s", f[0])
		}
	}
}

// TestLogrotateExample: docs/records.md shows the example that is in the packages.
func TestLogrotateExample(t *testing.T) {
	example := string(read(t, filepath.Join(checkout, "packaging", "examples", "logrotate")))
	start := strings.Index(example, "\n/var/log/") // after the comments
	if start < 0 || !strings.Contains(string(read(t, filepath.Join(checkout, "docs", "records.md"))), example[start:]) {
		t.Errorf("docs/records.md does not have\n%s", example)
	}
}
