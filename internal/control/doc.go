// Package control is the second stage, the query: it puts one question to each of many control sockets and hands over what came back.
//
// The other end of a control socket is a sandbox that may be hostile. This package keeps it from costing more than its budget of
// time, bytes and descriptors, and looks into nothing: what it returns is a Reply, bytes without a meaning, which only package verify
// turns into something to be believed.
//
// Waiting is not work, so one goroutine has many questions in flight at once, on plain non-blocking sockets behind one epoll
// instance. A connection lasts one question: a sandbox that exits waits for its connected clients.
package control
