package verify

import (
	"errors"
	"time"

	"github.com/sandmeter/sandmeter/internal/jscan"
)

// members says which members of an object have been seen, by the bit that each has.
type members uint8

// add reports whether the member was not seen before.
func (m *members) add(bit members) bool {
	seen := *m&bit != 0
	*m |= bit
	return !seen
}

// reader reads one reply, whatever its form. The first breach or error of the scanner ends it.
type reader struct {
	jscan.Scanner
	v      *Verifier
	at     point // that is being read; here so that none makes garbage
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

// finish returns the breach, or what the scanner found.
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

// more is More until there is a breach.
func (r *reader) more() bool { return r.breach == nil && r.More() }

// broken records the first breach.
func (r *reader) broken(b *Breach) {
	if r.breach == nil && r.Err() == nil {
		r.breach = b
	}
}

// want checks that the next value has the wanted kind, and that the member was not there before.
func (r *reader) want(kind byte, first bool, metric, member string) bool {
	got := r.Kind()
	if r.Err() != nil {
		return false
	}
	if !first || got != kind {
		r.broken(breach(RuleMember, metric, "%s", member))
		return false
	}
	return true
}

// envelope is what every reply is wrapped in.
type envelope struct {
	seen      members
	success   bool
	errorText string
	hasResult bool
}

const (
	memberSuccess members = 1 << iota
	memberErr
	memberResult
)

// envelope reads the reply, calling result for an object that is its result.
func (r *reader) envelope(result func()) envelope {
	var e envelope
	if r.Kind() != '{' {
		r.broken(breach(RuleJSON, "", ""))
		return e
	}
	for r.Object(); r.more(); {
		switch string(r.Key()) {
		case "success":
			if kind := r.Kind(); kind != 't' && kind != 'f' || !e.seen.add(memberSuccess) {
				r.broken(breach(RuleMember, "", "success"))
				return e
			}
			e.success = r.Bool()
		case "err":
			if r.want('"', e.seen.add(memberErr), "", "err") {
				e.errorText = string(r.Str())
			}
		case "result":
			first := e.seen.add(memberResult)
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
	case e.seen&memberSuccess == 0:
		return breach(RuleMember, "", "success")
	case e.success && e.errorText != "", !e.success && e.hasResult:
		return breach(RuleContradiction, "", "%s", quote([]byte(e.errorText)))
	case !e.success:
		return breach(RuleError, "", "%s", quote([]byte(e.errorText)))
	case !e.hasResult:
		return breach(RuleMember, "", "result")
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
		r.broken(breach(RuleMember, "", "snapshot"))
	}
}

const (
	memberWhen members = 1 << iota
	memberData
)

func (r *reader) snapshot() {
	var seen members
	for r.Object(); r.more(); {
		switch string(r.Key()) {
		case "when":
			if r.want('"', seen.add(memberWhen), "", "when") {
				r.when()
			}
		case "data":
			if r.want('[', seen.add(memberData), "", "data") {
				for r.Array(); r.more(); {
					r.point()
				}
			}
		default:
			r.Skip()
		}
	}
	if seen&memberWhen == 0 {
		r.broken(breach(RuleMember, "", "when"))
	}
}

func (r *reader) when() {
	text := r.Str()
	if r.Err() == nil && r.v.when.UnmarshalText(text) != nil {
		r.v.when = time.Time{}
		r.broken(breach(RuleMember, "", "when: %s", quote(text)))
	}
}
