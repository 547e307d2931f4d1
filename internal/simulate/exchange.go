package simulate

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A Behavior replies to one request. If it returns nil, the connection waits for the next request;
// an error closes the connection. It is called from many goroutines, one for each connection, and
// must return soon after the sandbox has stopped, as the methods of Exchange do.
type Behavior func(x *Exchange) error

// Honest is the Behavior of a real sandbox.
func Honest(x *Exchange) error {
	buf := replies.Get().(*[]byte)
	defer replies.Put(buf)
	*buf = x.Sandbox.appendReply((*buf)[:0], x)
	return x.Send(*buf)
}

var replies = sync.Pool{New: func() any { return new([]byte) }}

// An Exchange is one request and the means to reply to it. It is valid until the Behavior returns.
type Exchange struct {
	Sandbox *Sandbox
	Conn    *net.UnixConn
	Request []byte // the JSON value
	Method  string // "Metrics.Export", ...
	Filter  string // only_metrics of an Export
	N       int    // number of this Export among all of the sandbox, from 1; 0 for other methods

	Container string // ID of an Event

	argError error // if the argument of the request has a wrong type
	buf      [512]byte
}

// exportAll is the most frequent request; it is recognized without parsing.
const exportAll = `{"method":"Metrics.Export","arg":{"only_metrics":""}}`

// next reads the next request and replies to it. Data after the request in the same read is lost,
// as with runsc. Invalid requests are an error.
func (x *Exchange) next() error {
	n, err := x.Conn.Read(x.buf[:])
	if err != nil {
		return err
	}
	x.Request, x.Method, x.Filter, x.Container, x.N, x.argError = x.buf[:n], MethodExport, "", "", 0, nil
	if string(x.Request) != exportAll {
		if err := x.parse(); err != nil {
			return err
		}
	}
	if x.Method == MethodExport {
		x.N = int(x.Sandbox.exports.Add(1))
	}
	x.Sandbox.mu.Lock()
	x.Sandbox.stats.Queries++
	x.Sandbox.mu.Unlock()
	return (*x.Sandbox.behavior.Load())(x)
}

// parse reads the rest of a request that begins with x.Request, and parses it.
func (x *Exchange) parse() error {
	var whole json.RawMessage
	if err := json.NewDecoder(io.MultiReader(bytes.NewReader(x.Request), x.Conn)).Decode(&whole); err != nil {
		return err
	}
	var call struct {
		Method string          `json:"method"`
		Arg    json.RawMessage `json:"arg"`
	}
	if err := json.Unmarshal(whole, &call); err != nil {
		return err
	}
	x.Request, x.Method = whole, call.Method
	switch x.Method {
	case MethodExport:
		var opts metricsExportOpts
		x.argError = json.Unmarshal(call.Arg, &opts)
		x.Filter = opts.OnlyMetrics
	case MethodEvent:
		x.argError = json.Unmarshal(call.Arg, &x.Container)
	}
	return nil
}

// metricsExportOpts is the argument of an Export.
type metricsExportOpts struct {
	OnlyMetrics string `json:"only_metrics"`
}

// Reply returns the honest reply in newly allocated memory.
func (x *Exchange) Reply() []byte {
	return x.Sandbox.appendReply(nil, x)
}

// Send writes p to the client.
func (x *Exchange) Send(p []byte) error {
	_, err := x.Conn.Write(p)
	return err
}

// errStopped ends a Behavior when its sandbox stops.
var errStopped = errors.New("simulate: the sandbox has stopped")

// Wait waits for a time, or returns an error as soon as the sandbox stops.
func (x *Exchange) Wait(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-x.Sandbox.stopped:
		return errStopped
	}
}

// Stall sends nothing until the client disconnects or the sandbox stops. It returns an error.
func (x *Exchange) Stall() error {
	if _, err := io.Copy(io.Discard, x.Conn); err != nil {
		return err
	}
	return io.EOF
}
