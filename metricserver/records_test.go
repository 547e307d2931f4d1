package metricserver

import (
	"strings"
	"testing"
)

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

// TestFinalRecordsWithoutDirectory: a handler whose file cannot be opened is an error.
func TestFinalRecordsWithoutDirectory(t *testing.T) {
	w := newWorld(t)
	_, err := w.server(Options{FinalRecords: w.path("missing/records")}).Handler()
	if err == nil || !strings.Contains(err.Error(), "missing/records: no such file or directory") {
		t.Errorf("the error is %v", err)
	}
}
