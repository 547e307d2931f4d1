package architecture

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestWeightOfTheClient: docs/go.md lists the modules that a program gets with metricclient, which are all
// that go.mod requires.
func TestWeightOfTheClient(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var modules []string
	for line := range strings.Lines(read("go.mod")) {
		if fields := strings.Fields(line); strings.HasPrefix(line, "\t") && len(fields) >= 2 {
			modules = append(modules, fields[0]+" "+fields[1]+"\n")
		}
	}
	slices.Sort(modules)
	if want := "```\n" + strings.Join(modules, "") + "```\n"; !strings.Contains(read("docs/go.md"), want) {
		t.Errorf("docs/go.md does not have\n%s", want)
	}
}
