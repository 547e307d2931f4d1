package metricserver

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sandmeter/sandmeter/internal/records"
)

const (
	megabyte          = 1_000_000 // bytes
	defaultRecordsMax = 100 * megabyte
)

// parseRecords splits Options.FinalRecords. A maximum size of 0 means no limit.
func parseRecords(text string) (path string, maxSize int64, err error) {
	path, size, given := strings.Cut(text, ",max-size=")
	if !given {
		return path, defaultRecordsMax, nil
	}
	n, err := strconv.ParseUint(size, 10, 32)
	if err != nil {
		return "", 0, errors.New("give the size as a whole number of megabytes, such as FILE,max-size=10")
	}
	return path, int64(n) * megabyte, nil
}

func checkRecords(text string) error {
	_, _, err := parseRecords(text)
	return err
}

// openRecords opens the writer of final records, or returns nil if there are to be none.
func (o *Options) openRecords() (*records.Writer, error) {
	if o.FinalRecords == "" {
		return nil, nil
	}
	path, maxSize, err := parseRecords(o.FinalRecords)
	if err != nil {
		return nil, err
	}
	w, err := records.New(records.Options{Path: path, MaxSize: maxSize, Logger: o.Logger})
	if err != nil {
		return nil, fmt.Errorf("final records: %w; name a file in a directory that exists and that the server can write", err)
	}
	return w, nil
}
