package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// makeMutants makes the mutants whose rules match, of the checkout at root. The error names all that are
// lost.
func makeMutants(root string, pattern *regexp.Regexp) (mutants []*mutant, err error) {
	var lost []error
	for _, t := range tables {
		decls, err := declarations(filepath.Join(root, "internal", t.pkg))
		if err != nil {
			return nil, err
		}
		for _, r := range t.rules {
			m := &mutant{rule: r, pkg: t.pkg, slow: t.slow}
			if err := m.mutate(decls[r.in]); err != nil {
				lost = append(lost, err)
			}
			if pattern.MatchString(m.String()) {
				mutants = append(mutants, m)
			}
		}
	}
	return mutants, errors.Join(lost...)
}

// mutate breaks the rule in its declaration, which is nil if there is none.
func (m *mutant) mutate(in *declaration) error {
	if in == nil {
		return fmt.Errorf("%s: lost: there is no %s", m, m.in)
	}
	code := in.code[in.from:in.to]
	if n := strings.Count(code, m.old); n != 1 {
		return fmt.Errorf("%s: lost: %s has %q %d times instead of once", m, m.in, m.old, n)
	}
	m.file = in.path
	m.code = in.code[:in.from] + strings.Replace(code, m.old, replacement(m.old, m.new), 1) + in.code[in.to:]
	return nil
}

// replacement returns the code for old. A condition that is always true or false stays in the code, because
// Go refuses variables and imports that are not used.
func replacement(old, with string) string {
	switch with {
	case "true":
		return "((" + old + ") || true)"
	case "false":
		return "((" + old + ") && false)"
	}
	return with
}

// A declaration is a part of a file.
type declaration struct {
	path, code string // of the file
	from, to   int    // offsets in its code
}

// declarations returns the functions, methods, constants and variables of a package, by name.
func declarations(dir string) (map[string]*declaration, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	all := make(map[string]*declaration)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		code, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if err := declarationsIn(all, path, string(code)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// declarationsIn adds the declarations of a file, without their comments.
func declarationsIn(all map[string]*declaration, path, code string) error {
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, path, code, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	add := func(name string, node ast.Node) {
		all[name] = &declaration{path, code, files.Position(node.Pos()).Offset, files.Position(node.End()).Offset}
	}
	for _, d := range parsed.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			add(receiver(d)+d.Name.Name, d)
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if s, ok := s.(*ast.ValueSpec); ok {
					for _, name := range s.Names {
						add(name.Name, s)
					}
				}
			}
		}
	}
	return nil
}

// receiver returns the type of a method and a dot, or "".
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	name, _, _ := strings.Cut(types.ExprString(d.Recv.List[0].Type), "[") // the type may be generic
	return strings.TrimPrefix(name, "*") + "."
}
