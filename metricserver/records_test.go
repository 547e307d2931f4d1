package metricserver

import (
	"os"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// TestFinalRecords: each end that the collector passes on is a line of the file once the server is
// closed.
func TestFinalRecords(t *testing.T) {
	w := newWorld(t)
	o := w.server(Options{FinalRecords: w.path("records")}).options
	writer, err := o.openRecords()
	w.must(err)
	var options collect.Options
	addRecords(&options, writer)
	for _, id := range []string{"a", "b"} {
		options.Ended(snapshot.Sandbox{Identity: &snapshot.Identity{Labels: &snapshot.Labels{Sandbox: id}}, End: &snapshot.End{Outcome: snapshot.Killed, Signal: 9}})
	}
	writer.Close()
	content, err := os.ReadFile(w.path("records"))
	w.must(err)
	lines := strings.SplitAfter(string(content), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], `{"version":1,"id":"a",`) || !strings.HasPrefix(lines[1], `{"version":1,"id":"b",`) {
		t.Errorf("the file has\n%s", content)
	}
	if writer.Written() != 2 || writer.Dropped() != 0 {
		t.Errorf("%d records are written and %d dropped", writer.Written(), writer.Dropped())
	}
}

// TestParseRecords: the size follows the name of the file, in megabytes.
func TestParseRecords(t *testing.T) {
	check := func(text, wantPath string, wantSize int64) {
		t.Helper()
		if path, size, err := parseRecords(text); err != nil || path != wantPath || size != wantSize {
			t.Errorf("%s: %s, %d, %v", text, path, size, err)
		}
	}
	check("/f", "/f", 100_000_000)
	check("-", "-", 100_000_000)
	check("/f,g", "/f,g", 100_000_000)
	check("/f,max-size=7", "/f", 7_000_000)
	check("/f,max-size=0", "/f", 0)
	for _, text := range []string{"/f,max-size=", "/f,max-size=-1", "/f,max-size=7MB"} {
		if checkRecords(text) == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

// TestNoFinalRecords: without the option, there are neither records nor counters.
func TestNoFinalRecords(t *testing.T) {
	w := newWorld(t)
	r := w.run(w.server(Options{Addresses: []string{w.path("socket")}}))
	if page := r.page(); strings.Contains(page, "final_records") {
		t.Errorf("the page is\n%s", page)
	}
}

// TestFinalRecordsWithoutDirectory: a handler whose file cannot be opened is an error.
func TestFinalRecordsWithoutDirectory(t *testing.T) {
	w := newWorld(t)
	_, err := w.server(Options{FinalRecords: w.path("missing/records")}).Handler()
	if err == nil || !strings.Contains(err.Error(), "missing/records: no such file or directory") {
		t.Errorf("the error is %v", err)
	}
}
