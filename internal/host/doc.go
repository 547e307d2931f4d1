// Package host has information about sandboxes from the host's kernel, which is trusted, unlike the
// sandboxes' replies. The package returns immutable records and never changes the data of its
// callers.
package host
