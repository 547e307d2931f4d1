package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// TestFinalRecords: a sandbox that ends without another scrape has a record with its last counters,
// which is written while the server goes on. The record of one that ends last is written by the time
// the server has stopped.
func TestFinalRecords(t *testing.T) {
	w := newWorld(t)
	s := w.serve("serve --root {root} --web.listen-address {socket} --final-records {dir}/records")
	opens := []simulate.Point{{Metric: "fs_opens", Int: 51}}
	first := w.start(simulate.Spec{ID: "first", OwnProcess: true, Points: opens})
	last := w.start(simulate.Spec{ID: "last", OwnProcess: true, Points: opens})
	s.page()
	first.Stop()
	s.until("a record is written", func() bool { return len(w.records()) == 1 })
	contains(t, s.page(), "\nsandmeter_final_records_written_total 1\n")
	last.Stop()
	if code := s.stop(); code != cli.ExitOK {
		t.Errorf("it exits with %d", code)
	}
	records := w.records()
	if len(records) != 2 || records[0].ID != "first" || records[1].ID != "last" {
		t.Fatalf("there are %d records, want first and last", len(records))
	}
	for _, r := range records {
		if r.Metrics["fs_opens"] != 51.0 || r.EndedAt == nil || r.Outcome == "" || r.RuntimeRoot != w.root {
			t.Errorf("the record of %s ended at %v in %s with outcome %q and %v opens", r.ID, r.EndedAt, r.RuntimeRoot, r.Outcome, r.Metrics["fs_opens"])
		}
	}
}

// A record is what tests read of a final record.
type record struct {
	ID          string         `json:"id"`
	RuntimeRoot string         `json:"runtime_root"`
	EndedAt     *string        `json:"ended_at"`
	Outcome     string         `json:"outcome"`
	Metrics     map[string]any `json:"metrics"`
}

// records returns the final records that are written.
func (w *world) records() []record {
	w.Helper()
	content, err := os.ReadFile(w.path("records"))
	w.must(err)
	var all []record
	for line := range strings.Lines(string(content)) {
		if !strings.HasSuffix(line, "\n") {
			break // it is being written
		}
		var r record
		w.must(json.Unmarshal([]byte(line), &r))
		all = append(all, r)
	}
	return all
}
