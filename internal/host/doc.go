// Package host is what the host knows about sandboxes, as opposed to what sandboxes say about
// themselves. All of it comes from the kernel and is trusted.
//
// The package hands out immutable records. It never touches what its callers keep of a sandbox.
package host
