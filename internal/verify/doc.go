// Package verify is the trust line. Its input is bytes that a sandbox sent, which may be anything.
// Its output is a Baseline in which every sample keeps every rule. A reply that breaks a rule
// changes nothing.
//
// What a sandbox reports of its use of resources (Event) cannot be verified: its form is checked,
// and its figures stay claims.
package verify
