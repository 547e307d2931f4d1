package page

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"
)

// FuzzFilter compares Match with the regexp package: an accepted filter matches the same names,
// cached or not, and is within the limits.
func FuzzFilter(f *testing.F) {
	for _, text := range []string{
		"", "^fs_", "opens$", "^(a|b|)$", "(", "x{2,5}", "(?i)ks", `\bnet\B`, "(?m)^a$", "(?s).", `[^\pL\d[:^alpha:]]`, `(?i)[a-\x{17f}]`,
		`(?P<name>x)|(?<other>y)`, `\Q(\pL\E`, `((x*)*|(y{0,3}){2,})+?`, "^x^", "(|)*", "(?U)a+", `\A(?:a|)\z`, "\xff", `\p{^Lu}\PN`, "((((x)))){0}",
	} {
		f.Add(text, "fs_opens")
		f.Add(text, "x\xffaK\u212a\n")
	}
	filters := NewFilters()
	f.Fuzz(func(t *testing.T, text, name string) {
		if len(name) > 1000 {
			return
		}
		filter, err := filters.Compile(text)
		switch {
		case err != nil && (err == errTooCostly || strings.HasPrefix(err.Error(), "longer than ")):
			return
		case err != nil:
			if _, want := regexp.Compile(text); want == nil || want.Error() != err.Error() {
				t.Fatalf("the error is %q, that of the regexp package %v", err, want)
			}
			return
		case text == "":
			return
		}
		tree, err := syntax.Parse(text, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		prog, err := syntax.Compile(tree.Simplify())
		if err != nil {
			t.Fatal(err)
		}
		if n := len(prog.Inst); n > maxCost+2 || len(text) > maxText { // two: a match and a failure
			t.Fatalf("a text of %d bytes with %d instructions is accepted", len(text), n)
		}
		want := regexp.MustCompile(text).MatchString(name)
		for range 2 { // the second one is cached
			if got := filter.Match(name); got != want {
				t.Fatalf("%q matches %q: %v, want %v", text, name, got, want)
			}
		}
	})
}
