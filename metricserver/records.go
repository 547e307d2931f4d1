package metricserver

import (
	"fmt"

	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/records"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// DefaultFinalRecordsMaxSize is the default of Options.FinalRecordsMaxSize in bytes.
const DefaultFinalRecordsMaxSize = 100_000_000

// checkRecords returns an error if the options of final records are invalid.
func (o *Options) checkRecords() error {
	if o.FinalRecordsMaxSize > 0 && o.FinalRecordsMaxSize < records.MaxSize {
		return fmt.Errorf("maximum size of final records %d: give at least %d bytes, the size of the longest record", o.FinalRecordsMaxSize, records.MaxSize)
	}
	return nil
}

// openRecords opens the writer of final records, or returns nil if there are to be none.
func (o *Options) openRecords() (*records.Writer, error) {
	if o.FinalRecords == "" {
		return nil, nil
	}
	w, err := records.New(records.Options{Path: o.FinalRecords, MaxSize: max(o.FinalRecordsMaxSize, 0), Logger: o.Logger})
	if err != nil {
		return nil, fmt.Errorf("final records: %w; name a file in a directory that exists and that the server can write", err)
	}
	return w, nil
}

// addRecords makes the collector pass each sandbox that ends to the writer. A nil writer changes
// nothing.
func addRecords(o *collect.Options, w *records.Writer) {
	if w == nil {
		return
	}
	o.Ended = func(s snapshot.Sandbox) { w.Add(records.Of(&s)) }
}
