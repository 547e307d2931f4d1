package snapshot

import "github.com/sandmeter/sandmeter/internal/fact"

// Usage has the resources that a sandbox uses, as of Time. The figures of a sandbox that has ended are
// its last counters; its gauges are absent.
type Usage struct {
	fact.Reading               // measured on the host
	Unknown      []fact.Reason // why figures are absent, those that need the sandbox's claims included

	// CPU time of the host's figure, split by the sandbox's claims. Empty and absent if it was not.
	Shares       []Share     // also of containers that were deleted, in the order of first sight
	Unattributed fact.Figure // nanoseconds that belong to no container

	// Claims of the sandbox, by index in Identity.Containers; nil: none are shown.
	Memory      []fact.Figure // bytes, at most the host's figure together
	EqualMemory bool          // the sandbox divides its memory by the number of its containers
	Processes   []fact.Figure // threads and zombies

	Differences Differences
}

// A Share is the CPU time of a container.
type Share struct {
	ID, Name string // the name may be the ID
	CPU      int64  // nanoseconds
}

// Differences between the sandbox's claims and the host's figures, as parts of the host's figures.
type Differences struct{ CPU, Memory, NetworkTransmit Ratio }

// A Ratio is a ratio that may be absent.
type Ratio struct {
	Value float64
	Known bool
}
