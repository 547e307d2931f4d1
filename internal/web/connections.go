package web

import (
	"container/list"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// Limits on the client connections of a process: a share of its file descriptors, within bounds.
// The remaining file descriptors are for connections to sandboxes and for watching their processes.
const (
	connectionShare = 8 // one eighth
	minConnections  = 16
	maxConnections  = 1024
)

// logInterval is the minimum time between two log lines about the same problem.
const logInterval = time.Minute

// MaxConnections returns the number of client connections that the limit on open files allows.
func MaxConnections() int {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return minConnections
	}
	return connectionsOf(files.Cur)
}

func connectionsOf(files uint64) int {
	return int(min(max(files/connectionShare, minConnections), maxConnections))
}

// Connections limits the number of client connections of a server. If a new connection exceeds the
// limit, the connection that has been idle longest is closed. Idle clients therefore cannot use up
// the file descriptors that the server needs to serve other clients. A connection is idle while it
// has no request in progress; this includes a new connection that has not sent anything yet. A
// connection with a request in progress is never closed in favor of another: if all others have
// one, the new connection is closed.
//
// Connections is safe for concurrent use.
type Connections struct {
	most     int
	counters *Counters
	logger   *slog.Logger

	mu     sync.Mutex // not held while closing a connection or logging, which can block
	open   map[net.Conn]*list.Element
	idle   list.List     // of net.Conn, longest idle first
	closed int           // connections closed because of the limit since the last log line
	gone   chan struct{} // closed when no connection is open any more; nil: nobody waits
	lines  rate.Sometimes
}

// NewConnections returns Connections that permit up to most connections, at least 1. It counts closed
// connections, and logs them at most once per minute.
func NewConnections(most int, counters *Counters, logger *slog.Logger) *Connections {
	return &Connections{
		most:     most,
		counters: counters,
		logger:   logger,
		open:     make(map[net.Conn]*list.Element),
		lines:    rate.Sometimes{Interval: logInterval},
	}
}

// Track implements http.Server.ConnState. It must see every state change of every connection of the
// server.
func (c *Connections) Track(conn net.Conn, state http.ConnState) {
	if state == http.StateNew {
		c.add(conn)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting, known := c.open[conn]
	if !known {
		return // closed because of the limit; the server notices at its next read
	}
	if waiting != nil {
		c.idle.Remove(waiting)
	}
	switch state {
	case http.StateIdle:
		c.open[conn] = c.idle.PushBack(conn)
	case http.StateActive:
		c.open[conn] = nil
	default:
		delete(c.open, conn)
		c.tellGone()
	}
}

// Drained returns a channel that is closed when no connection is open any more. The server accepts no more
// connections, and Drained is called once.
func (c *Connections) Drained() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	gone := make(chan struct{})
	c.gone = gone
	c.tellGone()
	return gone
}

// tellGone closes gone if no connection is open. The caller holds mu.
func (c *Connections) tellGone() {
	if c.gone != nil && len(c.open) == 0 {
		close(c.gone)
		c.gone = nil
	}
}

// add adds a new connection and closes one if the limit is exceeded. The server calls add before it
// accepts the next connection, so the limit is never exceeded by more than one.
func (c *Connections) add(conn net.Conn) {
	surplus, closed := c.push(conn)
	if surplus != nil {
		c.counters.ConnectionsClosed.Add(1)
		closeNow(surplus)
	}
	if closed > 0 {
		c.logger.Warn("Too many client connections: closed the longest-idle one; "+
			"raise the limit on open files (ulimit -n), or find the clients that open connections and leave them idle",
			"limit", c.most, "closed", closed)
	}
}

// push adds a new connection. It returns the connection to close, or nil, and the number of closed
// connections to log, or 0.
func (c *Connections) push(conn net.Conn) (surplus net.Conn, closed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[conn] = c.idle.PushBack(conn)
	if len(c.open) <= c.most {
		return nil, 0
	}
	surplus = c.idle.Remove(c.idle.Front()).(net.Conn) // the new connection if all others are busy
	delete(c.open, surplus)
	c.closed++
	c.lines.Do(func() { closed, c.closed = c.closed, 0 })
	return surplus, closed
}

// CloseAll closes all connections, including those with requests in progress, and does not wait for
// clients.
func (c *Connections) CloseAll() { c.close(true) }

// CloseIdle closes all connections without a request in progress, and does not wait for clients.
func (c *Connections) CloseIdle() { c.close(false) }

func (c *Connections) close(busy bool) {
	var conns []net.Conn
	c.mu.Lock()
	for conn, waiting := range c.open {
		if busy || waiting != nil {
			conns = append(conns, conn)
		}
	}
	c.mu.Unlock()
	for _, conn := range conns {
		closeNow(conn)
	}
}

// closeNow closes a connection without blocking. Close of a TLS connection first sends an alert,
// which blocks if the client does not read.
func closeNow(conn net.Conn) {
	if tls, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = tls.NetConn()
	}
	_ = conn.Close() // the server's own read reports relevant errors
}
