package page

import "github.com/sandmeter/sandmeter/internal/snapshot"

// A Selection is the part of a snapshot that a request selects. The zero value selects everything.
// Equal selections compare equal with ==.
type Selection struct {
	// Metrics filters reported metrics by name without prefix. It never hides the server's own
	// families.
	Metrics      *Filter
	Capabilities *Filter // of capabilities, by name with or without CAP_

	Names snapshot.Values // of families, including the server's own
	// Sandboxes selects sandboxes. The server's own families about itself are in the first shard.
	Sandboxes snapshot.Selector
}
