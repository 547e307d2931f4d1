// Package snapshot has the result of a collection: one immutable value with everything that it
// found. Stages before it in the flow of data (state, host, control, verify) deal with untrusted
// data. Stages after it (page, expo, share, web) never import those: they read snapshots only. A
// snapshot never changes once collect has returned it, so any number of goroutines may read it, and
// it may be kept for any time. Slices that are equal in several snapshots may be shared by them.
package snapshot
