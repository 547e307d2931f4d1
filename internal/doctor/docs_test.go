package doctor

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocs: docs/doctor.md has a section for each check, and a row for each cause with its level,
// in the order of the code.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	_, checks, found := strings.Cut(string(text), "\n## Checks\n")
	if !found {
		t.Fatal("docs/doctor.md has no section Checks")
	}
	var documented, want []string
	for _, line := range regexp.MustCompile("(?m)^(### `[a-z_]+`|\\| `[a-z_]+` \\| [a-z]+ \\|)").FindAllString(checks, -1) {
		words := strings.Fields(strings.NewReplacer("`", "", "|", "").Replace(line))
		documented = append(documented, strings.Join(words, " "))
	}
	for _, check := range Checks() {
		want = append(want, "### "+check.Name)
		for _, cause := range check.Causes {
			want = append(want, cause.Name+" "+cause.Level.String())
		}
	}
	if !slices.Equal(documented, want) {
		t.Errorf("docs/doctor.md has\n%s\nwant\n%s", strings.Join(documented, "\n"), strings.Join(want, "\n"))
	}
}
