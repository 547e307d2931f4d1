package verify

import (
	"errors"
	"time"

	"github.com/sandmeter/sandmeter/internal/jscan"
)

// A fieldSet has a bit for each field of an object that has been seen.
type fieldSet uint8

// add reports whether the field was not seen before.
func (m *fieldSet) add(bit fieldSet) bool {
	seen := *m&bit != 0
	*m |= bit
	return !seen
}

// A reader reads one reply in any JSON form. It stops at the first breach or scanner error.
type reader struct {
	jscan.Scanner
	v      *Verifier
	at     point // the point being read; a field, so that points make no garbage
	breach *Breach
}

// read reads a reply of any form into the verifier. The error is ErrIncomplete or a *Breach.
func (v *Verifier) read(data []byte) error {
	r := reader{Scanner: jscan.New(data), v: v}
	env := r.envelope(func() { r.result() })
	if err := r.finish(); err != nil {
		return err
	}
	return env.check()
}

// finish returns the breach, or the scanner's error.
func (r *reader) finish() error {
	if r.breach != nil {
		return r.breach
	}
	err := r.End()
	if errors.Is(err, jscan.ErrTruncated) {
		return ErrIncomplete
	}
	if err != nil {
		return breach(RuleJSON, "", "%v", err)
	}
	return nil
}

// more is Scanner.More, but false after a breach.
func (r *reader) more() bool { return r.breach == nil && r.More() }

// broken records the first breach.
func (r *reader) broken(b *Breach) {
	if r.breach == nil && r.Err() == nil {
		r.breach = b
	}
}

// want checks that the next value has the wanted kind, and that first is true: the field was not
// seen before.
func (r *reader) want(kind byte, first bool, metric, field string) bool {
	got := r.Kind()
	if r.Err() != nil {
		return false
	}
	if !first || got != kind {
		r.broken(breach(RuleField, metric, "%s", field))
		return false
	}
	return true
}

// An envelope is the outer object of every reply.
type envelope struct {
	seen      fieldSet
	success   bool
	errorText string
	hasResult bool
}

const (
	fieldSuccess fieldSet = 1 << iota
	fieldErr
	fieldResult
)

// envelope reads the reply, and calls result when the scanner is at the object "result".
func (r *reader) envelope(result func()) envelope {
	var e envelope
	if r.Kind() != '{' {
		r.broken(breach(RuleJSON, "", ""))
		return e
	}
	for r.Object(); r.more(); {
		switch string(r.Key()) {
		case "success":
			if kind := r.Kind(); kind != 't' && kind != 'f' || !e.seen.add(fieldSuccess) {
				r.broken(breach(RuleField, "", "success"))
				return e
			}
			e.success = r.Bool()
		case "err":
			if r.want('"', e.seen.add(fieldErr), "", "err") {
				e.errorText = string(r.Str())
			}
		case "result":
			first := e.seen.add(fieldResult)
			if first && r.Null() {
				continue
			}
			if r.want('{', first, "", "result") {
				e.hasResult = true
				result()
			}
		default:
			r.Skip()
		}
	}
	return e
}

// check returns a breach unless the reply is a success with a result.
func (e *envelope) check() error {
	switch {
	case e.seen&fieldSuccess == 0:
		return breach(RuleField, "", "success")
	case e.success && e.errorText != "", !e.success && e.hasResult:
		return breach(RuleContradiction, "", "%s", quote([]byte(e.errorText)))
	case !e.success:
		return breach(RuleError, "", "%s", quote([]byte(e.errorText)))
	case !e.hasResult:
		return breach(RuleField, "", "result")
	}
	return nil
}

// result reads {"snapshot":{"when":…,"data":[…]}}.
func (r *reader) result() {
	first, there := true, false
	for r.Object(); r.more(); {
		if string(r.Key()) != "snapshot" {
			r.Skip()
			continue
		}
		if r.want('{', first, "", "snapshot") {
			r.snapshot()
		}
		first, there = false, true
	}
	if !there {
		r.broken(breach(RuleField, "", "snapshot"))
	}
}

const (
	fieldWhen fieldSet = 1 << iota
	fieldData
)

func (r *reader) snapshot() {
	var seen fieldSet
	for r.Object(); r.more(); {
		switch string(r.Key()) {
		case "when":
			if r.want('"', seen.add(fieldWhen), "", "when") {
				r.when()
			}
		case "data":
			if r.want('[', seen.add(fieldData), "", "data") {
				for r.Array(); r.more(); {
					r.point()
				}
			}
		default:
			r.Skip()
		}
	}
	if seen&fieldWhen == 0 {
		r.broken(breach(RuleField, "", "when"))
	}
}

func (r *reader) when() {
	text := r.Str()
	if r.Err() == nil && r.v.when.UnmarshalText(text) != nil {
		r.v.when = time.Time{}
		r.broken(breach(RuleField, "", "when: %s", quote(text)))
	}
}
