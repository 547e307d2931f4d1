package snapshot

import (
	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/failure"
)

// A Server has the facts about the server itself, and counts of all sandboxes.
type Server struct {
	Sandboxes    Census
	SingleRoot   bool // exactly one directory is configured, so its path is no label
	RootsLeftOut int  // roots that are not served because there are too many
	Queries      int64
	Received     int64 // bytes of replies; both up to now in the collection under way
	Counters     Counters
}

// A Census counts sandboxes, selected or not.
type Census struct {
	Served       int // ever
	All          int // in the snapshot
	Running      int
	Failed       int // running, without metrics
	Unregistered int // running
	Checkpointed int
	Restored     int
	Failures     map[failure.Reason]int
	Hidden       map[Hiding]int
}

// Count adds a sandbox.
func (c *Census) Count(s *Sandbox) {
	c.All++
	c.Hidden[s.Hidden]++
	if s.Checkpointed {
		c.Checkpointed++
	}
	if s.Restored {
		c.Restored++
	}
	if s.Running() {
		c.Running++
		if s.Hidden == HidUnregistered {
			c.Unregistered++
		}
	}
	if s.Failure != nil {
		c.Failed++
		c.Failures[s.Failure.Reason]++
	}
}

// Counters are the server's counters since its start. Absent ones are not counted.
type Counters struct {
	ConnectionsClosed   fact.Figure // because clients had too many
	ExitEventsMissing   fact.Figure // about sandboxes; absent: the kernel sends none to the server
	FinalLogsRefused    fact.Figure // final metrics logs of sandboxes
	FinalRecordsDropped fact.Figure
	FinalRecordsWritten fact.Figure
	InotifyOverflows    fact.Figure
	LogLinesDropped     fact.Figure
	ResponsesCutOff     fact.Figure // because clients read too slowly
	Unregistrations     fact.Figure // of sandboxes, by clients
}
