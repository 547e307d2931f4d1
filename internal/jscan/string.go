package jscan

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Str returns a string, unescaped. The result points into the document if there are no escapes.
// Bytes above 0x7F are returned unchanged, valid UTF-8 or not.
func (s *Scanner) Str() []byte {
	raw, escaped := s.text()
	if escaped {
		return unescape(raw)
	}
	return raw
}

// text reads a string and returns the bytes between its quotes, and whether they have escapes.
func (s *Scanner) text() (raw []byte, escaped bool) {
	if s.peek() != '"' {
		s.Fail("expected a string")
		return nil, false
	}
	start := s.pos + 1
	for i := start; i < len(s.data); i++ {
		switch c := s.data[i]; {
		case c == '"':
			s.pos = i + 1
			s.pending = false
			return s.data[start:i], escaped
		case c == '\\':
			n := s.escape(i)
			if n == 0 {
				return nil, false
			}
			i += n - 1
			escaped = true
		case c < ' ':
			s.fail(i, "control character in a string")
			return nil, false
		}
	}
	s.truncated()
	return nil, false
}

// escape returns the length of the escape sequence at i, or 0 with an error set.
func (s *Scanner) escape(i int) int {
	switch s.at(i + 1) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return len(`\n`)
	case 'u':
		const length = len(`\u0000`)
		for k := i + len(`\u`); k < i+length; k++ {
			if k >= len(s.data) {
				s.truncated()
				return 0
			}
			if c := s.data[k]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
				s.fail(k, "invalid \\u escape in a string")
				return 0
			}
		}
		return length
	}
	if i+1 >= len(s.data) {
		s.truncated()
	} else {
		s.fail(i, "unknown escape in a string")
	}
	return 0
}

// unescape replaces the escape sequences of a string, which must be valid.
func unescape(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			continue
		}
		i++
		switch c := raw[i]; c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, n := unescapeRune(raw[i+1:])
			out = utf8.AppendRune(out, r)
			i += n
		default:
			out = append(out, c)
		}
	}
	return out
}

// unescapeRune returns the rune of the \u escape that continues with rest, and how many bytes of
// rest belong to it. A surrogate pair is one rune; a single surrogate becomes U+FFFD, as in
// encoding/json.
func unescapeRune(rest []byte) (r rune, n int) {
	const digits = 4
	r = hex(rest[:digits])
	if !utf16.IsSurrogate(r) {
		return r, digits
	}
	if next, ok := bytes.CutPrefix(rest[digits:], []byte(`\u`)); ok {
		if r = utf16.DecodeRune(r, hex(next[:digits])); r != utf8.RuneError {
			return r, digits + len(`\u`) + digits
		}
	}
	return utf8.RuneError, digits
}

func hex(digits []byte) rune {
	n, _ := strconv.ParseUint(string(digits), 16, 16)
	return rune(n)
}
