package web

import (
	"container/list"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// How many connections of clients a process may have: a share of its file descriptors, within bounds. The rest is for the connections to
// sandboxes and for watching their processes.
const (
	connectionShare = 8 // an eighth
	minConnections  = 16
	maxConnections  = 1024
)

// logInterval is the time between two log lines about connections that were closed.
const logInterval = time.Minute

// MaxConnections returns how many client connections the limit on open files leaves room for.
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

// Connections bounds how many client connections a server has. A new connection over the limit costs the one that has been idle longest.
// So clients that open connections and leave them idle cannot use up the file descriptors, without which no client would be served. A
// connection is idle while no request is under way on it, which includes one that has not sent anything yet. A connection with a request
// is never closed for another one: if there are no others, the new one is closed.
//
// It is safe for concurrent use.
type Connections struct {
	most   int
	logger *slog.Logger

	mu     sync.Mutex // never held while a connection is closed or a line is logged, which can block
	open   map[net.Conn]*list.Element
	idle   list.List // of net.Conn, the one that has been idle longest first
	closed int       // for a new one, since the last log line
	lines  rate.Sometimes
}

// NewConnections returns Connections that permit most connections, at least 1. The logger is told, at most once a minute, that
// connections are closed.
func NewConnections(most int, logger *slog.Logger) *Connections {
	return &Connections{
		most:   most,
		logger: logger,
		open:   make(map[net.Conn]*list.Element),
		lines:  rate.Sometimes{Interval: logInterval},
	}
}

// Track is for http.Server.ConnState, and has to be called for every connection of the server, from its beginning to its end.
func (c *Connections) Track(conn net.Conn, state http.ConnState) {
	if state == http.StateNew {
		c.add(conn)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting, known := c.open[conn]
	if !known {
		return // closed for another one: the server finds out when it next reads
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
	}
}

// add adds a new connection, and closes one if that is too many. The server calls it before it accepts the next connection, so there is
// never more than one over the limit.
func (c *Connections) add(conn net.Conn) {
	surplus, closed := c.push(conn)
	if surplus != nil {
		closeNow(surplus)
	}
	if closed > 0 {
		c.logger.Warn("Too many client connections: closed the longest-idle one; "+
			"raise the limit on open files (ulimit -n), or find the clients that open connections and leave them idle",
			"limit", c.most, "closed", closed)
	}
}

// push adds a new connection. It returns the one to close, nil for none, and how many to log.
func (c *Connections) push(conn net.Conn) (surplus net.Conn, closed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[conn] = c.idle.PushBack(conn)
	if len(c.open) <= c.most {
		return nil, 0
	}
	surplus = c.idle.Remove(c.idle.Front()).(net.Conn) // the new one, if all others are busy
	delete(c.open, surplus)
	c.closed++
	c.lines.Do(func() { closed, c.closed = c.closed, 0 })
	return surplus, closed
}

// CloseAll closes all connections, whatever is under way on them, and waits for no client.
func (c *Connections) CloseAll() {
	c.mu.Lock()
	all := slices.Collect(maps.Keys(c.open))
	c.mu.Unlock()
	for _, conn := range all {
		closeNow(conn)
	}
}

// closeNow closes a connection. That of TLS would first send a message, and wait for a client that does not read.
func closeNow(conn net.Conn) {
	if tls, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = tls.NetConn()
	}
	_ = conn.Close() // the server's own attempt to read reports what matters
}
