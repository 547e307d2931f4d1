package control

import (
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
)

// A Query is one request to one sandbox, with methods that receive its reply or failure.
//
// The loop calls the methods of all queries one at a time, on its own goroutine, so queries need no
// locks among each other. Everything that they did is visible to the caller of Loop.Run once that
// returns. A method must not block, and must not call Loop.Run or Loop.Close, which would wait for
// the goroutine that it runs on.
//
// First the loop reads Address, Request, Limit and Timeout, possibly more than once: each must
// return the same every time. Then comes one call of Connected, and any number of calls of Read.
// Exactly one Read that returns true, or one Fail, ends the query. After that Read, and never after
// a Fail, comes one call of Next, which is the last. A query whose time is over before it begins
// gets Fail only.
//
// The query that Next returns is sent at once on the same connection, which saves the sandbox a
// quarter of the cost of two connections. It is a query like any other, with a reply, a limit and a
// timeout of its own, except that Connected is not called: the peer has been checked. Its failure
// is its own, since the query before it has ended. The run lasts until it has ended too. A query may
// return itself, to begin anew with another request.
//
// A panic in any method but Next and Fail is the failure of that query: Fail is called with it. A
// panic in Next or Fail is dropped; nothing follows, and the query has ended. Other queries are not
// affected in any case.
type Query interface {
	// Address returns where the sandbox listens.
	Address() *Address
	// Request returns the bytes to send. The loop does not change the bytes; nothing may until the
	// query ends. A request has to fit into the buffer of an empty socket, which 24 KiB do.
	Request() []byte
	// Limit returns the length of the longest reply, in bytes. A longer one fails.
	Limit() int
	// Timeout returns how much time the sandbox has from connecting, or from the end of the reply
	// before, to the end of the reply.
	Timeout() time.Duration
	// Connected is given the ID of the process that listens on the socket, which is 0 for a process
	// in another PID namespace. It returns nil, or why the request must not be sent to that
	// process.
	Connected(peer int) *failure.Failure
	// Read receives the data that has arrived when that may be a whole reply, and reports whether
	// it is. If not, Read is called again with more. The reply is valid until Read returns. took is
	// the time from connecting until the loop noticed the data; it is above 0.
	Read(r Reply, took time.Duration) (whole bool)
	// Next returns the query to send to the sandbox next, on the same connection; nil: none. Its
	// Address is that of this query.
	Next() Query
	// Fail receives the reason why there is no reply. took is the time since connecting began, and
	// 0 if and only if the query was never begun.
	Fail(f *failure.Failure, took time.Duration)
}

// A Reply is the untrusted data that a sandbox sent.
type Reply struct{ bytes []byte }

// NewReply makes a Reply of bytes, for tests and for tools that have them from elsewhere.
func NewReply(bytes []byte) Reply { return Reply{bytes} }

// Untrusted returns the bytes. They are valid until the method that received the Reply returns.
func (r Reply) Untrusted() []byte { return r.bytes }

var (
	exportRequest  = []byte(`{"method":"Metrics.Export","arg":{"only_metrics":""}}`)
	savingsRequest = []byte(`{"method":"containerManager.GetSavings","arg":null}`)
)

// ExportRequest returns the request for all metrics. All calls return the same bytes, which must
// not be changed.
func ExportRequest() []byte { return exportRequest }

// SavingsRequest returns the request to a restored sandbox for the time that its checkpoint saved.
// All calls return the same bytes, which must not be changed.
func SavingsRequest() []byte { return savingsRequest }

// EventRequest returns the request for the resources that a container uses, and for the CPU time of
// all containers of the sandbox. The ID has the characters that runsc allows in IDs, which JSON does
// not escape.
func EventRequest(id string) []byte {
	return []byte(`{"method":"containerManager.Event","arg":"` + id + `"}`)
}

// target has the properties of a query that the loop needs to begin it.
type target struct {
	address *Address
	request []byte
	limit   int
	timeout time.Duration
}

// targetOf returns the target of a query, or why the query cannot begin.
func targetOf(q Query) (t target, f *failure.Failure) {
	defer catch(&f)
	t = target{q.Address(), q.Request(), q.Limit(), q.Timeout()}
	if t.address.closing.Load() >= maxClosing {
		f = stillClosing
	}
	return t, f
}

// callConnected calls q.Connected. A panic there is a failure of q.
func callConnected(q Query, peer int) (f *failure.Failure) {
	defer catch(&f)
	return q.Connected(peer)
}

// callRead calls q.Read. A panic there is a failure of q, so that a reply that triggers a bug
// affects one sandbox and not all of them.
func callRead(q Query, r Reply, took time.Duration) (whole bool, f *failure.Failure) {
	defer catch(&f)
	return q.Read(r, took), nil
}

// callNext calls q.Next. A panic there is dropped: q has succeeded, and the query that failed to be
// made has no method to tell.
func callNext(q Query) Query {
	defer dropPanic()
	return q.Next()
}

// callFail calls q.Fail. A panic there is dropped: the query has failed already, with a reason that
// matters more, and its run must be able to end.
func callFail(q Query, f *failure.Failure, took time.Duration) {
	defer dropPanic()
	q.Fail(f, took)
}

// catch makes a failure of a panic; call it with defer.
func catch(f **failure.Failure) {
	if p := recover(); p != nil {
		*f = failure.Panicked(p)
	}
}

// dropPanic recovers from a panic; call it with defer.
func dropPanic() { _ = recover() }
