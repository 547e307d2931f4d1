// Package totals adds up what all sandboxes did, live and ended, so that the sums stay when
// sandboxes end. No total falls while the server runs.
//
// A Ledger has the totals, by group of sandboxes, and a Life has what was counted of one sandbox.
// Totals count growth that this server observed: a sandbox that is older than the server counts from
// the first observation on. So a restart of the server is a reset of all counters, and nothing is
// counted twice.
//
// A Ledger and its Lives have no lock. All their methods are called by one goroutine at a time.
//
// Totals count growth, life by life. A fall counts as a new start at 0, as Prometheus counts
// resets. The first values of a sandbox that is older than the server are only bases, so after a
// restart nothing counts twice. Totals are integers, which saturate. A totals.Ledger has no lock:
// its methods are called under the collector's. Its source is immutable and part of each snapshot;
// it shares what did not change with the last one. Users choose the names of groups, so their
// number is limited. Only a registration tells whether a counter is a time, so the name of its
// family is known with the first sandbox that has it.
package totals
