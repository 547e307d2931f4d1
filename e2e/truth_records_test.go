package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A finalRecord is the part of a final record that these tests compare.
type finalRecord struct {
	ID              string
	Iteration       string
	Outcome         string
	CPU             float64         `json:"cpu_seconds"`
	UsageSource     string          `json:"usage_source"`
	UsageComplete   bool            `json:"usage_complete"`
	Metrics         json.RawMessage `json:"metrics"`
	MetricsSource   string          `json:"metrics_source"`
	MetricsComplete bool            `json:"metrics_complete"`
}

// opens returns the opens of the record; 0: not known.
func (r finalRecord) opens() (n float64) {
	var metrics struct {
		Opens float64 `json:"fs_opens"`
	}
	_ = json.Unmarshal(r.Metrics, &metrics) // null is no error
	return metrics.Opens
}

// finalRecords returns the records of the server by ID. The test fails if a line is not whole, unless
// it is the one that the server was writing when it was killed, or if a life has more than one.
func (o *observer) finalRecords() map[string]finalRecord {
	o.t.Helper()
	file, err := os.ReadFile(o.records)
	o.must(err)
	records, mayBeCut := map[string]finalRecord{}, o.signal == unix.SIGKILL
	for line := range bytes.Lines(file) {
		var r finalRecord
		if err := json.Unmarshal(line, &r); err != nil || !bytes.HasSuffix(line, []byte("\n")) {
			if !mayBeCut {
				o.t.Errorf("%s: a record is not whole: %v\n%s", o.transport, err, line)
			}
			mayBeCut = false
			continue
		}
		if _, double := records[r.ID]; double {
			o.t.Errorf("%s: %s has two records", o.transport, r.ID)
		}
		records[r.ID] = r
	}
	return records
}

// hasRecord reports whether a file has a record of a sandbox.
func hasRecord(file []byte, id string) bool { return bytes.Contains(file, []byte(`"id":"`+id+`"`)) }

// tally counts what records say, for the log of the test.
func tally(records map[string]finalRecord) string {
	counts := map[string]int{}
	for _, r := range records {
		counts["outcome "+r.Outcome]++
		counts["metrics "+r.MetricsSource]++
		counts["usage "+r.UsageSource]++
	}
	var words []string
	for what, n := range counts {
		words = append(words, fmt.Sprintf("%s=%d", what, n))
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}
