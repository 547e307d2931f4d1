// Package records writes a record per life of a sandbox: a line of JSON that tells what the sandbox
// was, how it ended, and what it had used and counted by then. docs/records.md describes the schema
// for users, and a test compares it with Record.
//
// Of makes a record from a snapshot, and a Writer appends it to a file. Unknown values are null,
// never 0 or an empty string, as in the JSON API, whose names the fields have.
package records
