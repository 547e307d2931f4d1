// Package totals adds up what all sandboxes did, live and ended, so that the sums stay when
// sandboxes end. No total falls while the server runs.
//
// A Ledger has the totals, by group of sandboxes, and a Life has what was counted of one sandbox.
// Totals count growth that this server observed: a sandbox that is older than the server counts from
// the first observation on. So a restart of the server is a reset of all counters, and nothing is
// counted twice.
//
// A Ledger and its Lives have no lock. All their methods are called by one goroutine at a time.
package totals
