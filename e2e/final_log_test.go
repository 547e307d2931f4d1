package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/simulate/liars"
)

// TestFinalLogLiars: sandboxes leave hostile final metrics logs, all at once, beside honest sandboxes. Each
// costs itself its last values, and the server nothing.
func TestFinalLogLiars(t *testing.T) {
	w := newSimulatedWorld(t)
	logs, records := t.TempDir(), filepath.Join(t.TempDir(), "records")
	w.startServer(w.serveArgs("--final-metrics-log", filepath.Join(logs, "%ID%.log"), "--final-records", records, "--totals-metric", "fs_opens"))
	w.scrape() // sandboxes that start from here on are counted from 0
	const before, growth = 51, 9
	var all []*simulate.Sandbox
	var want []string
	opened := 0
	add := func(id string, l liars.Liar, opens int, source string) {
		t.Helper()
		s, err := l.Start(w.root, simulate.Spec{ID: id, OwnProcess: true, FinalLog: filepath.Join(logs, id+".log")})
		w.must(err)
		t.Cleanup(func() { _ = s.Remove() })
		all, opened = append(all, s), opened+opens
		want = append(want, fmt.Sprintf("%s %d %s", id, opens, source))
	}
	for i, l := range liars.OfFinalLog() {
		add(fmt.Sprint("honest-", i), liars.Liar{}, before+growth, "final_metrics_log")
		add("liar-"+l.Name, l, before, "last_sample")
	}
	w.until(func() error {
		if n := len(w.scrape().find("runsc_fs_opens")); n < len(all) {
			return fmt.Errorf("%d of %d sandboxes have metrics", n, len(all))
		}
		return nil
	})
	for _, s := range all {
		w.must(s.Add("fs_opens", nil, growth))
		w.must(s.Remove())
	}
	var got []string
	w.until(func() error {
		got = recordedOpens(t, records)
		if len(got) < len(all) {
			return fmt.Errorf("%d of %d sandboxes have a record", len(got), len(all))
		}
		return nil
	})
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("recorded are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	p := w.scrape()
	p.wantValue(t, float64(opened), "sandmeter_sandboxes_fs_opens_total")
	p.wantNone(t, "runsc_meta_sandbox_failure")
}

// recordedOpens returns the ID of each record, sorted, how many files the sandbox opened, and where
// that is from.
func recordedOpens(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(data)) {
		var r struct {
			ID      string
			Metrics map[string]any
			Source  string `json:"metrics_source"`
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			continue // it is being written
		}
		all = append(all, fmt.Sprintf("%s %v %s", r.ID, r.Metrics["fs_opens"], r.Source))
	}
	slices.Sort(all)
	return all
}
