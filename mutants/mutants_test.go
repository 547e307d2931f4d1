package main

import (
	"go/parser"
	"go/token"
	"regexp"
	"strings"
	"testing"
)

// TestNoneIsLost: the code has every rule once, and with each broken it can still be parsed. A change of
// the code may lose some: then correct their rows.
func TestNoneIsLost(t *testing.T) {
	mutants, err := makeMutants("..", regexp.MustCompile(""))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, m := range mutants {
		if seen[m.String()] {
			t.Errorf("%s: the text is in the table twice", m)
		}
		seen[m.String()] = true
		if _, err := parser.ParseFile(token.NewFileSet(), m.file, m.code, 0); err != nil {
			t.Errorf("%s: %v", m, err)
		}
	}
}

func TestMutate(t *testing.T) {
	const code = "package p\n\nconst (\n\ta = 1 // one\n\tb = 1\n)\n\nfunc f() int { return 1 + 1 }\n\n// g: 1\nfunc (t *T[K]) g() int { return 1 }\n"
	decls := make(map[string]*declaration)
	if err := declarationsIn(decls, "p.go", code); err != nil {
		t.Fatal(err)
	}
	check := func(in, old, before, after, wantErr string) {
		t.Helper()
		m := &mutant{pkg: "p", rule: rule{in: in, text: "rule", old: old, new: "2"}}
		want, text := "", ""
		if err := m.mutate(decls[in]); err != nil {
			text = err.Error()
		} else {
			want = strings.Replace(code, before, after, 1)
		}
		if m.code != want || text != wantErr {
			t.Errorf("%s: got %q, %s", in, m.code, text)
		}
	}
	check("b", "1", "b = 1", "b = 2", "")
	check("T.g", "return 1", "{ return 1 }", "{ 2 }", "")
	check("f", "1", "", "", `p: rule: lost: f has "1" 2 times instead of once`)
	check("f", "3", "", "", `p: rule: lost: f has "3" 0 times instead of once`)
	check("h", "1", "", "", "p: rule: lost: there is no h")
}
