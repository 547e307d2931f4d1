package doctor

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// TestDocs: docs/doctor.md has a row for each cause with its level, in the order of the code.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented, want []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (problem|warning) \\|").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, row[1]+" "+row[2])
	}
	for _, c := range Causes() {
		want = append(want, c.Name+" "+string(c.Level))
	}
	if !slices.Equal(documented, want) {
		t.Errorf("docs/doctor.md has\n%q\nwant\n%q", documented, want)
	}
}
