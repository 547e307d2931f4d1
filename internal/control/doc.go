// Package control sends queries to the control sockets of sandboxes and hands over the replies.
//
// A sandbox may be hostile. This package limits the time, bytes and file descriptors that one
// sandbox can use, and does not interpret replies: a Reply is raw bytes, which only package verify
// turns into trusted values.
//
// One goroutine, the Loop, has many queries in flight on non-blocking sockets behind one epoll
// instance. The Query decides the meaning of a request and handles its reply: another kind
// of query is another implementation of that interface and changes nothing here. A connection is
// used for one query, and for those that follow it at once, and then closed, because a sandbox that
// exits waits for its clients to disconnect.
package control
