package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPromtoolChecksConfigurations: Prometheus accepts its configurations in the documents.
func TestPromtoolChecksConfigurations(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, text := range examples(t, "yaml") {
		if regexp.MustCompile(`(?m)^scrape_configs:`).MatchString(text) { // indented, it is another program's
			promtool(t, "", "check", "config", writeExample(t, []byte(text)))
			checked++
		}
	}
	if checked == 0 {
		t.Error("no document has a configuration of Prometheus")
	}
}

// TestPromtoolChecksQueries: Prometheus can parse the queries in the documents. A blank line is
// between two queries.
func TestPromtoolChecksQueries(t *testing.T) {
	t.Parallel()
	var rules []any
	for _, text := range examples(t, "promql") {
		for query := range strings.SplitSeq(text, "\n\n") {
			rules = append(rules, map[string]any{"record": fmt.Sprint("example:", len(rules)), "expr": query})
		}
	}
	if len(rules) == 0 {
		t.Error("no document has a query")
	}
	file, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "examples", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "check", "rules", writeExample(t, file))
}

// writeExample returns the path of a new file with a text.
func writeExample(t *testing.T, text []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "example.yml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// examples returns the examples in a language from the repository's documents.
func examples(t *testing.T, language string) (texts []string) {
	t.Helper()
	for _, pattern := range []string{"../*.md", "../docs/*.md"} {
		for _, path := range must(filepath.Glob(pattern))(t) {
			texts = append(texts, section{t, path, string(must(os.ReadFile(path))(t))}.blocks(language)...)
		}
	}
	return texts
}

// promtool returns the output of promtool, and fails the test if promtool finds a fault.
func promtool(t *testing.T, stdin string, args ...string) (said string) {
	t.Helper()
	tool := exec.CommandContext(t.Context(), findPeer(t, "bin/promtool"), args...)
	tool.Stdin = strings.NewReader(stdin)
	out, err := tool.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
