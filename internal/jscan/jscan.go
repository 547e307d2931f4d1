// Package jscan reads untrusted JSON: strictly, without allocating for skipped values, and with a
// limit on nesting. Its callers interpret the values. The caller drives a Scanner through a
// document in one pass:
//
//	s := jscan.New(data)
//	for s.Object(); s.More(); {
//		switch string(s.Key()) {
//		case "id":
//			id = string(s.Str())
//		default:
//			s.Skip()
//		}
//	}
//	err := s.End()
//
// The first error sticks: every later call returns a zero value, More returns false, and Err and
// End return the error.
package jscan

import (
	"bytes"
	"errors"
	"fmt"
)

// MaxDepth is how deep objects and arrays may nest. Nothing that runsc writes comes near it.
const MaxDepth = 32

// ErrTruncated is the error of a document that ends before its value does. It may be the beginning
// of a valid document.
var ErrTruncated = errors.New("unexpected end of JSON")

// A SyntaxError is a breach of the JSON grammar, of MaxDepth, or of the type that the caller asked
// for.
type SyntaxError struct {
	Offset int    // of the offending byte
	What   string // what is wrong there
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.What, e.Offset) }

// A Scanner reads a JSON document. It is not safe for concurrent use.
type Scanner struct {
	data []byte
	pos  int
	err  error

	depth   int
	arrays  uint64 // bit d: the container at depth d is an array
	pending bool   // the innermost object or array has had no field or element yet
}

// New returns a scanner at the beginning of data. Slices it returns may point into data.
func New(data []byte) Scanner { return Scanner{data: data} }

// Err returns the first error.
func (s *Scanner) Err() error { return s.err }

// Offset returns the position of the next byte to be read.
func (s *Scanner) Offset() int { return s.pos }

// Rest returns the unread bytes. A caller that recognizes a whole value at their beginning can skip
// it with Advance.
func (s *Scanner) Rest() []byte { return s.data[s.pos:] }

// Advance skips n bytes, which must be one whole value.
func (s *Scanner) Advance(n int) {
	s.pos += n
	s.pending = false
}

// Fail sets an error at the current position, unless there is an error already.
func (s *Scanner) Fail(what string) { s.fail(s.pos, what) }

func (s *Scanner) fail(at int, what string) {
	if s.err == nil {
		s.err = &SyntaxError{at, what}
	}
}

func (s *Scanner) truncated() {
	if s.err == nil {
		s.err = ErrTruncated
	}
}

// Kind returns the kind of the next value by its first byte: '{', '[', '"', '0' for a number, 't',
// 'f', 'n', or 0 after an error.
func (s *Scanner) Kind() byte {
	c := s.peek()
	if c == '-' || c >= '0' && c <= '9' {
		return '0'
	}
	return c
}

// peek skips white space and returns the next byte, or 0 with an error set.
func (s *Scanner) peek() byte {
	if s.err != nil {
		return 0
	}
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		if c > ' ' {
			return c
		}
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			s.Fail("unexpected control character")
			return 0
		}
		s.pos++
	}
	s.truncated()
	return 0
}

// Object enters an object: call More and Key until More returns false.
func (s *Scanner) Object() { s.open('{', "expected an object") }

// Array enters an array: call More until it returns false.
func (s *Scanner) Array() { s.open('[', "expected an array") }

func (s *Scanner) open(c byte, what string) {
	if s.peek() != c {
		s.Fail(what)
		return
	}
	if s.depth == MaxDepth {
		s.Fail("nested too deeply")
		return
	}
	s.pos++
	s.depth++
	if c == '[' {
		s.arrays |= 1 << s.depth
	} else {
		s.arrays &^= 1 << s.depth
	}
	s.pending = true
}

// More reports whether the innermost open object or array has another field or element. If not, it
// leaves the object or array.
func (s *Scanner) More() bool {
	c := s.peek()
	if s.err != nil {
		return false
	}
	if s.depth == 0 {
		s.Fail("nothing is open")
		return false
	}
	closer := byte('}')
	if s.arrays&(1<<s.depth) != 0 {
		closer = ']'
	}
	if c == closer {
		s.pos++
		s.depth--
		s.pending = false
		return false
	}
	if s.pending {
		s.pending = false
		return true
	}
	if c != ',' {
		s.Fail("expected a comma or the end")
		return false
	}
	s.pos++
	if s.peek() == closer {
		s.Fail("trailing comma")
	}
	return s.err == nil
}

// Key returns the name of the object's next field, unescaped. The result is valid until data
// changes.
func (s *Scanner) Key() []byte {
	key := s.Str()
	if !s.colon() {
		return nil
	}
	return key
}

func (s *Scanner) colon() bool {
	if s.peek() != ':' {
		s.Fail("expected a colon")
		return false
	}
	s.pos++
	return true
}

// Bool returns a boolean.
func (s *Scanner) Bool() bool {
	switch s.peek() {
	case 't':
		s.word("true")
		return s.err == nil
	case 'f':
		s.word("false")
		return false
	}
	s.Fail("expected true or false")
	return false
}

// Null reads the next value if it is null, and reports whether it is.
func (s *Scanner) Null() bool {
	if s.peek() != 'n' {
		return false
	}
	s.word("null")
	return s.err == nil
}

func (s *Scanner) word(w string) {
	rest := s.data[s.pos:]
	if len(rest) < len(w) && bytes.HasPrefix([]byte(w), rest) {
		s.truncated()
		return
	}
	if !bytes.HasPrefix(rest, []byte(w)) {
		s.Fail("unknown literal")
		return
	}
	s.Advance(len(w))
}

// Skip reads and drops a value of any kind.
func (s *Scanner) Skip() {
	switch s.Kind() {
	case '{':
		for s.Object(); s.More(); {
			s.text()
			s.colon()
			s.Skip()
		}
	case '[':
		for s.Array(); s.More(); {
			s.Skip()
		}
	case '"':
		s.text()
	case '0':
		s.Number()
	case 't', 'f':
		s.Bool()
	case 'n':
		s.Null()
	default:
		s.Fail("expected a value")
	}
}

// End checks that nothing but white space follows, and returns the first error.
func (s *Scanner) End() error {
	rest := bytes.TrimLeft(s.Rest(), " \n\t\r")
	s.pos = len(s.data) - len(rest)
	switch {
	case len(rest) > 0:
		s.Fail("bytes after the end of the document")
	case s.depth > 0:
		s.truncated()
	}
	return s.err
}
