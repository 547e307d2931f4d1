package jscan

import (
	"bytes"
	"strconv"
)

// Number returns the text of a number in JSON's grammar.
func (s *Scanner) Number() []byte {
	if s.Kind() != '0' {
		s.Fail("expected a number")
		return nil
	}
	start, i := s.pos, s.pos
	if s.at(i) == '-' {
		i++
	}
	first := i
	i = s.digits(i)
	if i-first > 1 && s.data[first] == '0' {
		s.fail(first, "leading zero in a number")
	}
	if s.at(i) == '.' {
		i = s.digits(i + 1)
	}
	if c := s.at(i); c == 'e' || c == 'E' {
		i++
		if c := s.at(i); c == '+' || c == '-' {
			i++
		}
		i = s.digits(i)
	}
	if s.err != nil {
		return nil
	}
	if i == len(s.data) && s.depth > 0 {
		s.truncated() // more digits may follow
		return nil
	}
	s.pos = i
	s.pending = false
	return s.data[start:i]
}

func (s *Scanner) at(i int) byte {
	if i < len(s.data) {
		return s.data[i]
	}
	return 0
}

// digits returns the position after the digits at i. At least one is required.
func (s *Scanner) digits(i int) int {
	start := i
	for i < len(s.data) && s.data[i] >= '0' && s.data[i] <= '9' {
		i++
	}
	if i == start {
		if i == len(s.data) {
			s.truncated()
		} else {
			s.fail(i, "expected a digit")
		}
	}
	return i
}

// Int returns an integer. A number with a fraction or an exponent, or out of the range of int64, is
// an error.
func (s *Scanner) Int() int64 {
	text := s.Number()
	if s.err != nil {
		return 0
	}
	n, ok := ParseInt(text)
	if !ok {
		s.fail(s.pos-len(text), "not a 64-bit integer")
	}
	return n
}

// Float returns a number. A number out of the range of float64 is an error.
func (s *Scanner) Float() float64 {
	text := s.Number()
	if s.err != nil {
		return 0
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		s.fail(s.pos-len(text), "number out of range")
		return 0
	}
	return f
}

// ParseInt parses a JSON integer, without a fraction or an exponent.
func ParseInt(text []byte) (n int64, ok bool) {
	const longest = len("-9223372036854775808")
	digits := bytes.TrimPrefix(text, []byte("-"))
	if len(text) > longest || len(digits) == 0 || digits[0] == '+' || digits[0] == '0' && len(digits) > 1 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(text), 10, 64) // so short a text is not copied to the heap
	if err != nil {
		return 0, false
	}
	return n, true
}
