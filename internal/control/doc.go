// Package control sends queries to the control sockets of sandboxes and hands over the replies.
//
// A sandbox may be hostile. This package limits what one costs in time, bytes and file descriptors,
// and does not interpret what it sends: a Reply is raw bytes, which only package verify turns into
// trusted values.
//
// One goroutine, the Loop, has many queries in flight on non-blocking sockets behind one epoll
// instance. What a query means, and what happens with its reply, is up to the Query: another kind
// of query is another implementation of that interface and changes nothing here. A connection is
// used for one query and then closed, because a sandbox that exits waits for its clients to
// disconnect.
package control
