// Package snapshot is what a collection produces: one immutable value with everything that it found. All that is left of it in the flow of
// data (state, host, control, verify) ends here, and all that is right of it (pages, formats, the HTTP server) starts here and knows
// nothing else.
//
// Nothing in a snapshot is ever changed once collect has handed it over, so any number of goroutines may read it, and a holder may keep it
// for as long as it likes. Slices may be shared with earlier and later snapshots in which they were the same.
package snapshot
