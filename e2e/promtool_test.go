package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/metricclient"
)

// TestPromtoolChecksPage: Prometheus's linter has nothing to say about the names, types and HELP
// texts of serve's page.
func TestPromtoolChecksPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, id := range []string{"idle", "stalled", "killed"} {
		w.start(id, "idle")
	}
	w.startServer(w.defaultArgs("--sandbox-timeout=200ms"))
	w.stopSandbox("stalled")
	w.kill("killed")
	var page metricclient.MetricData
	w.until(func() (err error) {
		page, err = w.client.GetMetrics(w.ctx(), nil)
		for _, line := range []string{`runsc_unimplemented_syscalls_total{`, `sandmeter_sandbox_failure{`} {
			if err == nil && !strings.Contains(string(page), "\n"+line) {
				err = fmt.Errorf("the page has no %s", line)
			}
		}
		return err
	})
	if said := promtool(t, string(page), "check", "metrics"); said != "" {
		t.Errorf("promtool says:\n%s", said)
	}
}

// TestPromtoolChecksUsage: the linter has nothing to say about any family of usage, also those that no
// sandbox of the other tests has.
func TestPromtoolChecksUsage(t *testing.T) {
	t.Parallel()
	var page strings.Builder
	for _, s := range []*schema.Schema{families.Usage, families.Cadvisor} {
		for _, m := range s.Metrics {
			fmt.Fprintf(&page, "# HELP %[1]s %[2]s\n# TYPE %[1]s %[3]s\n%[1]s 1\n", m.Name, m.Help, m.Type)
		}
	}
	if said := promtool(t, page.String(), "check", "metrics"); said != "" {
		t.Errorf("promtool says:\n%s", said)
	}
}

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
	block := regexp.MustCompile("(?s)```" + language + "\n(.*?)```")
	for _, document := range documents(t) {
		for _, match := range block.FindAllStringSubmatch(document, -1) {
			texts = append(texts, match[1])
		}
	}
	return texts
}

// documents returns the texts of the repository's documents.
func documents(t *testing.T) []string {
	t.Helper()
	top, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	docs, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, path := range slices.Concat(top, docs) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
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
