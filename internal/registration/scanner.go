package registration

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"
)

// maxDepth limits how deep messages may be nested. A registration needs three levels.
const maxDepth = 16

// Numbers in octal and hexadecimal, which the format allows and runsc does not write, are refused.
var (
	validInteger = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	validScalar  = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?)$`)
)

// A scanner reads the text format of protocol buffers, as far as a registration needs it: no
// floating-point numbers and no extensions. After the first error it reads nothing more, and every
// method returns a zero value.
type scanner struct {
	text  []byte
	rest  []byte // the part of text that has not been read
	depth int
	err   error
}

func newScanner(text []byte) *scanner { return &scanner{text: text, rest: text} }

func (s *scanner) fail(format string, args ...any) {
	if s.err == nil {
		line := 1 + bytes.Count(s.text[:len(s.text)-len(s.rest)], []byte("\n"))
		s.err = fmt.Errorf("line %d: %w", line, fmt.Errorf(format, args...))
	}
	s.rest = nil
}

// A message has the known fields of a message by name.
type message map[string]field

// A field reads one value of a field.
type field struct {
	read     func()
	repeated bool
}

func one(read func()) field  { return field{read, false} }
func many(read func()) field { return field{read, true} }

// fields reads the fields of a message up to the byte end, which is 0 for the end of the text. It
// skips unknown fields.
func (s *scanner) fields(end byte, known message) {
	if s.depth++; s.depth > maxDepth {
		s.fail("messages are nested deeper than %d levels", maxDepth)
	}
	defer func() { s.depth-- }()
	var seen []string
	for s.err == nil && !s.accept(end) {
		name := s.name()
		f, isKnown := known[name]
		if isKnown && !f.repeated && slices.Contains(seen, name) {
			s.fail("field %s is there twice", name)
		}
		if !isKnown {
			f = many(s.skip)
		} else if !f.repeated {
			seen = append(seen, name)
		}
		s.values(f)
		_ = s.accept(',') || s.accept(';')
	}
}

// values reads what follows the name of a field: a value or, for a repeated field, perhaps a list.
func (s *scanner) values(f field) {
	if !s.accept(':') && s.peek() != '{' && s.peek() != '<' {
		s.fail("a colon is missing")
	}
	if !f.repeated || !s.accept('[') {
		f.read()
		return
	}
	if s.accept(']') {
		return
	}
	for f.read(); s.accept(','); {
		f.read()
	}
	if !s.accept(']') {
		s.fail("a list is not closed")
	}
}

// message reads a message that is the value of a field.
func (s *scanner) message(known message) {
	switch {
	case s.accept('{'):
		s.fields('}', known)
	case s.accept('<'):
		s.fields('>', known)
	default:
		s.fail("a message is missing")
	}
}

// skip skips a value of any type.
func (s *scanner) skip() {
	switch s.peek() {
	case '{', '<':
		s.message(nil)
	case '"', '\'':
		s.str()
	default:
		if word := s.word(); !validScalar.Match(word) {
			s.fail("a value is missing")
		}
	}
}

// peek skips blanks and comments and returns the next byte, which is 0 at the end of the text.
func (s *scanner) peek() byte {
	for {
		s.rest = bytes.TrimLeft(s.rest, " \t\r\n")
		if len(s.rest) == 0 {
			return 0
		}
		if s.rest[0] != '#' {
			return s.rest[0]
		}
		_, s.rest, _ = bytes.Cut(s.rest, []byte("\n"))
	}
}

// accept reads the next byte if it is c. At the end of the text, that is 0.
func (s *scanner) accept(c byte) bool {
	if s.peek() != c || c == 0 && len(s.rest) > 0 {
		return false
	}
	if c != 0 {
		s.rest = s.rest[1:]
	}
	return true
}

// word reads letters, digits and the other characters of names and numbers.
func (s *scanner) word() []byte {
	s.peek()
	n := 0
	for n < len(s.rest) && isWord(s.rest[n]) {
		n++
	}
	word := s.rest[:n]
	s.rest = s.rest[n:]
	return word
}

func isWord(c byte) bool {
	return isLetter(c) || '0' <= c && c <= '9' || c == '-' || c == '+' || c == '.'
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' }

// name reads the name of a field.
func (s *scanner) name() string {
	word := s.word()
	if len(word) == 0 || !isLetter(word[0]) || bytes.ContainsAny(word, "-+.") {
		s.fail("the name of a field is missing")
		return ""
	}
	return string(word)
}

func (s *scanner) boolean() bool {
	switch word := string(s.word()); word {
	case "true", "false":
		return word == "true"
	}
	s.fail("neither true nor false")
	return false
}

func (s *scanner) integer() int64 {
	word := s.word()
	n, err := strconv.ParseInt(string(word), 10, 64)
	if err != nil || !validInteger.Match(word) {
		s.fail("not a decimal integer of 64 bits")
	}
	return n
}

// enum reads a value of an enumeration with the given names, by name or by number.
func (s *scanner) enum(names ...string) int {
	word := s.word()
	if i := slices.Index(names, string(word)); i >= 0 {
		return i
	}
	n, err := strconv.ParseInt(string(word), 10, 32)
	if err != nil || !validInteger.Match(word) {
		s.fail("unknown name of a constant")
	}
	return int(n)
}

// str reads one or more string literals and returns them as one string.
func (s *scanner) str() string {
	var text []byte
	for first := true; first || s.peek() == '"' || s.peek() == '\''; first = false {
		text = s.literal(text)
	}
	if !utf8.Valid(text) {
		s.fail("a string is not UTF-8")
		return ""
	}
	return string(text)
}

var errLiteral = errors.New("a string is missing, or is not closed on its line")

// literal appends the content of a string literal to text.
func (s *scanner) literal(text []byte) []byte {
	quote := s.peek()
	if quote != '"' && quote != '\'' {
		s.fail("%w", errLiteral)
		return nil
	}
	s.rest = s.rest[1:]
	for len(s.rest) > 0 {
		c := s.rest[0]
		switch c {
		case quote:
			s.rest = s.rest[1:]
			return text
		case '\n', 0:
			s.fail("%w", errLiteral)
			return nil
		case '\\':
			text = s.escape(text)
			continue
		}
		s.rest = s.rest[1:]
		text = append(text, c)
	}
	s.fail("%w", errLiteral)
	return nil
}

// escape appends the character of an escape sequence to text.
func (s *scanner) escape(text []byte) []byte {
	const plain, meaning = `abfnrtv?\'"`, "\a\b\f\n\r\t\v?\\'\""
	if len(s.rest) < 2 {
		s.fail("%w", errLiteral)
		return nil
	}
	c := s.rest[1]
	if i := bytes.IndexByte([]byte(plain), c); i >= 0 {
		s.rest = s.rest[2:]
		return append(text, meaning[i])
	}
	switch {
	case '0' <= c && c <= '7':
		return append(text, byte(s.code(1, 1, 3, 8, 1<<8-1)))
	case c == 'x':
		return append(text, byte(s.code(2, 1, 2, 16, 1<<8-1)))
	case c == 'u':
		return s.appendRune(text, s.code(2, 4, 4, 16, utf8.MaxRune))
	case c == 'U':
		return s.appendRune(text, s.code(2, 8, 8, 16, utf8.MaxRune))
	}
	s.fail("unknown escape sequence")
	return nil
}

func (s *scanner) appendRune(text []byte, code uint64) []byte {
	if !utf8.ValidRune(rune(code)) { // half of a surrogate pair, which no writer needs in UTF-8
		s.fail("invalid escape sequence")
		return nil
	}
	return utf8.AppendRune(text, rune(code))
}

// code reads a number of least to most digits, after the first bytes of an escape sequence.
func (s *scanner) code(skip, least, most, base int, limit uint64) uint64 {
	s.rest = s.rest[skip:]
	n := 0
	for n < min(len(s.rest), most) && isDigit(s.rest[n], base) {
		n++
	}
	code, err := strconv.ParseUint(string(s.rest[:n]), base, 32)
	if err != nil || n < least || code > limit {
		s.fail("invalid escape sequence")
		return 0
	}
	s.rest = s.rest[n:]
	return code
}

func isDigit(c byte, base int) bool {
	_, err := strconv.ParseUint(string(c), base, 8)
	return err == nil
}
