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

// A Behavior replies to one request. When it returns nil the connection waits for the next request; an error
// closes it. It is called from many goroutines, one for each connection, and must return soon after the
// sandbox has stopped: the methods of Exchange see to that.
type Behavior func(x *Exchange) error

// Honest is the Behavior of a real sandbox.
func Honest(x *Exchange) error {
	buf := replies.Get().(*[]byte)
	defer replies.Put(buf)
	*buf = x.Sandbox.appendReply((*buf)[:0], x)
	return x.Send(*buf)
}

var replies = sync.Pool{New: func() any { return new([]byte) }}

// Exchange is one request and what it takes to reply to it. It is the Behavior's until that returns.
type Exchange struct {
	Sandbox *Sandbox
	Conn    *net.UnixConn
	Request []byte // the JSON value
	Method  string // "Metrics.Export", ...
	Filter  string // only_metrics of an Export
	N       int    // of all Exports that the sandbox got, this is number 1, 2, ...; else 0

	argError error // of a request whose argument has a wrong type
	buf      [512]byte
}

// exportAll is the most frequent request; it is recognized without parsing.
const exportAll = `{"method":"Metrics.Export","arg":{"only_metrics":""}}`

// next reads the next request and replies to it. What comes in the same read behind a request is lost, as
// with runsc.
func (x *Exchange) next() error {
	n, err := x.Conn.Read(x.buf[:])
	if err != nil {
		return err
	}
	return x.proceed(x.buf[:n])
}

// proceed replies to the request that begins with what has been read.
func (x *Exchange) proceed(read []byte) error {
	if err := x.take(read); err != nil {
		return err
	}
	if !x.Sandbox.pass() {
		return errStopped
	}
	if b := x.Sandbox.behavior.Load(); b != nil {
		return (*b)(x)
	}
	return Honest(x)
}

// take makes x the request that begins with what has been read. What is no request is an error.
func (x *Exchange) take(read []byte) error {
	x.Request, x.Method, x.Filter, x.N, x.argError = read, MethodExport, "", 0, nil
	if string(read) != exportAll {
		if err := x.parse(); err != nil {
			return err
		}
	}
	if x.Method == MethodExport {
		x.N = int(x.Sandbox.exports.Add(1))
	}
	x.Sandbox.count((*counters).query)
	return nil
}

// parse reads the rest of a request whose beginning is x.Request, and takes it apart.
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
	if x.Method == MethodExport {
		var opts metricsExportOpts
		x.argError = json.Unmarshal(call.Arg, &opts)
		x.Filter = opts.OnlyMetrics
	}
	return nil
}

// metricsExportOpts is the argument of an Export.
type metricsExportOpts struct {
	OnlyMetrics string `json:"only_metrics"`
}

// Reply returns the honest reply. The bytes are the caller's.
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

// Wait waits; it returns an error at once when the sandbox stops.
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

// Stall reads and sends nothing until the client has gone or the sandbox stops. It returns an error.
func (x *Exchange) Stall() error {
	if _, err := io.Copy(io.Discard, x.Conn); err != nil {
		return err
	}
	return io.EOF
}
