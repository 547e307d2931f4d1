// Package verify is the trust line. Its input is bytes that a sandbox sent, which may be anything.
// Its output is a Baseline in which every sample keeps every rule. A reply that breaks a rule
// changes nothing.
package verify
