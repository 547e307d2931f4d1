package records

import (
	"bytes"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// TestDocs: docs/records.md has each field in the order of the record, each outcome, and each
// source, and nothing else; and its example is a record.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/records.md")
	if err != nil {
		t.Fatal(err)
	}
	var outcomes []string
	for _, o := range snapshot.Outcomes {
		outcomes = append(outcomes, string(o))
	}
	sources := []string{string(snapshot.NoOrigin), string(snapshot.FromFinalLog), string(snapshot.FromHost), string(snapshot.FromUnregister), string(snapshot.FromSample)}
	check := func(section string, want []string) {
		t.Helper()
		if got := rows(string(text), section); !slices.Equal(got, want) {
			t.Errorf("section %s has\n%q\nwant\n%q", section, got, want)
		}
	}
	check("Fields", fields(reflect.TypeFor[Record](), ""))
	check("Outcomes", outcomes)
	check("Sources", sources)
	if line := Of(example(t)).Line(); !bytes.Contains(text, append([]byte("\n"), line...)) {
		t.Errorf("the example is not\n%s", line)
	}
}

var firstCell = regexp.MustCompile("^\\| `([^`]+)` \\|")

// rows returns the first cells of the table of a section.
func rows(text, section string) []string {
	_, text, _ = strings.Cut(text, "\n## "+section+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	var cells []string
	for line := range strings.Lines(text) {
		if m := firstCell.FindStringSubmatch(line); m != nil {
			cells = append(cells, m[1])
		}
	}
	return cells
}

// fields returns the fields of a struct as jq names them, each followed by those of its own.
func fields(of reflect.Type, prefix string) []string {
	var names []string
	for field := range of.Fields() {
		name := prefix + field.Tag.Get("json")
		names = append(names, name)
		switch field.Type {
		case reflect.TypeFor[[]Container]():
			names = append(names, fields(reflect.TypeFor[Container](), name+"[].")...)
		case reflect.TypeFor[*Network]():
			names = append(names, fields(reflect.TypeFor[Network](), name+".")...)
		}
	}
	return names
}
