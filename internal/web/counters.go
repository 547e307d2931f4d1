package web

import "sync/atomic"

// Counters count what a server does to clients that use too much. They are safe for concurrent use.
type Counters struct {
	ResponsesCutOff   atomic.Int64 // because the client read too slowly
	ConnectionsClosed atomic.Int64 // because there were too many
}
