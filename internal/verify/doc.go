// Package verify is the trust line. To its left are bytes that a sandbox sent, which may be anything; what it lets pass to the right
// is a Baseline whose every sample keeps every rule. A reply that breaks one changes nothing.
package verify
