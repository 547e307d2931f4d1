package metricclient_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/metricclient"
)

// These variables have exactly the types documented in testdata/contract.txt, and TestContract
// checks that the list is complete. Programs may assign a function or put it behind an interface,
// so a new parameter breaks them, even a variadic one. Additions are new functions, methods and
// types.
var (
	_ *metricclient.MetricClient = &metricclient.MetricClient{}
	_ metricclient.MetricData    = "" // no type but a string can have this value
	_ metricclient.WantMetric    = struct {
		Metric         string
		Sandbox        string
		Pod, Namespace string
		ExtraLabels    map[string]string
	}{}

	_ func(string, string) *metricclient.MetricClient = metricclient.NewMetricClient

	_ func(*metricclient.MetricClient) = (*metricclient.MetricClient).Close

	_ func(*metricclient.MetricClient, context.Context, map[string]string) (metricclient.MetricData, error) = (*metricclient.MetricClient).GetMetrics

	_ func(*metricclient.MetricClient, context.Context) error = (*metricclient.MetricClient).HealthCheck

	_ func(*metricclient.MetricClient, context.Context) error = (*metricclient.MetricClient).ShutdownServer

	_ func(*metricclient.MetricClient, context.Context, *config.Config, ...string) error = (*metricclient.MetricClient).SpawnServer

	_ func(metricclient.MetricData, metricclient.WantMetric) (int64, time.Time, error) = metricclient.MetricData.GetPrometheusContainerInteger

	_ func(metricclient.MetricData, string, map[string]string) (int64, time.Time, error) = metricclient.MetricData.GetPrometheusInteger

	_ func(metricclient.MetricData, metricclient.WantMetric) (map[string]string, error) = metricclient.MetricData.GetSandboxMetadataMetric
)

// TestContract checks that the variables above cover the documented types, functions and methods,
// with their documented parameters and results.
func TestContract(t *testing.T) {
	documented, asserted := documentedTypes(t), assertedTypes(t)
	for name, want := range documented {
		if got, ok := asserted[name]; !ok || got != want {
			t.Errorf("%s: documented as %q, asserted as %q", name, want, got)
		}
	}
	for name := range asserted {
		if _, ok := documented[name]; !ok {
			t.Errorf("%s is not documented", name)
		}
	}
}

// documentedTypes returns the types of the documented functions and methods by their Go expression,
// such as (*MetricClient).Close. The names of types are in it too, with an empty value.
func documentedTypes(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/contract.txt")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "- ") // the index is a list
		switch {
		case strings.HasPrefix(line, "type "):
			found[strings.Fields(line)[1]] = ""
		case strings.HasPrefix(line, "func ") && !strings.HasSuffix(line, "¶"):
			f := parse(t, line, "package p; "+line).Decls[0].(*ast.FuncDecl)
			name := f.Name.Name
			if f.Recv != nil {
				recv := f.Recv.List[0]
				f.Type.Params.List = append([]*ast.Field{recv}, f.Type.Params.List...)
				receiver := types.ExprString(recv.Type)
				if strings.HasPrefix(receiver, "*") {
					receiver = "(" + receiver + ")"
				}
				name = receiver + "." + name
			}
			found[name] = typeOf(f.Type)
		}
	}
	return found
}

// assertedTypes returns the same for the variables of this file.
func assertedTypes(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	ast.Inspect(parse(t, "contract_test.go", nil), func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != "_" {
			return true
		}
		if f, ok := spec.Type.(*ast.FuncType); ok {
			found[unqualified(spec.Values[0])] = typeOf(f)
		} else {
			found[strings.TrimPrefix(unqualified(spec.Type), "*")] = ""
		}
		return false
	})
	return found
}

func parse(t *testing.T, name string, source any) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// typeOf returns the type of a function without the names of its parameters and results.
func typeOf(f *ast.FuncType) string {
	unnamed := func(fields *ast.FieldList) *ast.FieldList {
		list := new(ast.FieldList)
		if fields == nil {
			return list
		}
		for _, field := range fields.List {
			for range max(1, len(field.Names)) {
				list.List = append(list.List, &ast.Field{Type: field.Type})
			}
		}
		return list
	}
	return unqualified(&ast.FuncType{Params: unnamed(f.Params), Results: unnamed(f.Results)})
}

// unqualified returns an expression as written inside the package.
func unqualified(e ast.Expr) string {
	return strings.ReplaceAll(types.ExprString(e), "metricclient.", "")
}
