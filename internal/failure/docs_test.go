package failure

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocs: docs/operating.md says of each reason why a sandbox has no metrics what to do, and of no
// other.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n### A sandbox has no metrics\n")
	section, _, _ = strings.Cut(section, "\n#")
	var documented []Reason
	for _, match := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|").FindAllStringSubmatch(section, -1) {
		documented = append(documented, Reason(match[1]))
	}
	if want := slices.Sorted(slices.Values(Reasons)); !slices.Equal(slices.Sorted(slices.Values(documented)), want) {
		t.Errorf("the reasons are %q, and those of docs/operating.md %q", want, documented)
	}
}
