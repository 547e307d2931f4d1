// Package records writes a record per life of a sandbox: a line of JSON that tells what the sandbox
// was, how it ended, and what it had used and counted by then. docs/records.md describes the schema
// for users, and a test compares it with Record.
//
// Of makes a record from a snapshot, and a Writer appends it to a file. Unknown values are null,
// never 0 or an empty string, as in the JSON API, whose names the fields have.
//
// The file of final records follows its path. The writer looks at the file (one fstat) before each
// line: it may have been removed, truncated by logrotate, or reached its size. A line that a full
// disk cut is taken back. A FIFO is opened for reading too, so that the server starts without its
// reader, records wait while the reader restarts, and no write fails with EPIPE. Records are ASCII,
// because they may be read on a terminal.
package records
