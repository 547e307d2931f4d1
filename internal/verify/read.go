package verify

import (
	"errors"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/internal/jscan"
)

// A reader reads one reply in any JSON form. It stops at the first breach or scanner error.
type reader struct {
	jscan.Scanner
	v      *Verifier
	at     point  // the point being read; a field, so that points make no garbage
	metric string // the registered metric of that point, for breaches; empty: not known yet
	breach *Breach
}

// read reads a reply of any form into the verifier. The error is ErrIncomplete or a *Breach.
func (v *Verifier) read(data []byte) error {
	r := reader{Scanner: jscan.New(data), v: v}
	return r.envelope(func() { r.object(1, field{"snapshot", '{', r.snapshot}) })
}

// more is Scanner.More, but false after a breach.
func (r *reader) more() bool { return r.breach == nil && r.More() }

// broken records the first breach.
func (r *reader) broken(rule Rule, format string, args ...any) {
	if r.breach == nil && r.Err() == nil {
		r.breach = breach(rule, r.metric, format, args...)
	}
}

// want checks that the next value has the wanted kind, and that first is true: the field was not
// seen before.
func (r *reader) want(kind byte, first bool, field string) bool {
	got := r.Kind()
	if got == 'f' {
		got = 't'
	}
	if r.Err() != nil {
		return false
	}
	if !first || got != kind {
		r.broken(RuleField, "%s", strings.Clone(field)) // a clone, so that fields and their closures stay on the stack
		return false
	}
	return true
}

// A field is a known field of an object.
type field struct {
	name string
	kind byte // of its value, as in Scanner.Kind, where t is for both truths
	read func()
}

// orNull is a part of the kind of a field that may also be null.
const orNull = 0x80

// object reads the known fields of an object, in any order, and skips the others. Each known field may
// occur once, and the first ones, as many as are required, have to.
func (r *reader) object(required int, known ...field) {
	var seen uint8 // bit set of known fields
	for r.Object(); r.more(); {
		key, i := r.Key(), 0
		for i < len(known) && known[i].name != string(key) {
			i++
		}
		if i == len(known) {
			r.Skip()
			continue
		}
		f, first := &known[i], seen&(1<<i) == 0
		seen |= 1 << i
		if first && f.kind&orNull != 0 && r.Null() {
			continue
		}
		if r.want(f.kind&^orNull, first, f.name) {
			f.read()
		}
	}
	for i := range required {
		if seen&(1<<i) == 0 {
			r.broken(RuleField, "%s", strings.Clone(known[i].name))
		}
	}
}

// envelope reads the outer object of a reply, which has to be a success, and calls result when the
// scanner is at the object "result". The error is ErrIncomplete or a *Breach.
func (r *reader) envelope(result func()) error {
	var success, hasResult bool
	var errorText string
	if r.Kind() != '{' {
		r.broken(RuleJSON, "")
	}
	r.object(1,
		field{"success", 't', func() { success = r.Bool() }},
		field{"err", '"', func() { errorText = string(r.Str()) }},
		field{"result", '{' | orNull, func() {
			hasResult = true
			result()
		}})
	switch err := r.End(); {
	case r.breach != nil:
		return r.breach
	case errors.Is(err, jscan.ErrTruncated):
		return ErrIncomplete
	case err != nil:
		return breach(RuleJSON, "", "%v", err)
	case success && errorText != "", !success && hasResult:
		return breach(RuleContradiction, "", "%s", quote([]byte(errorText)))
	case !success:
		return breach(RuleError, "", "%s", quote([]byte(errorText)))
	case !hasResult:
		return breach(RuleField, "", "result")
	}
	return nil
}

// snapshot reads {"when":…,"data":[…]}.
func (r *reader) snapshot() {
	r.object(1, field{"when", '"', r.when}, field{"data", '[', func() {
		for r.Array(); r.more(); {
			r.point()
		}
	}})
}

func (r *reader) when() {
	text := r.Str()
	if r.Err() == nil && r.v.when.UnmarshalText(text) != nil {
		r.v.when = time.Time{}
		r.broken(RuleField, "when: %s", quote(text))
	}
}
