package records

import (
	"bytes"
	"encoding/json"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxSize is the length in bytes of the longest line.
const MaxSize = 256 << 10

// Line returns the record as one line of JSON with at most MaxSize bytes. If it would be longer,
// the metrics are left out, and if that is not enough, the containers too. All of its characters
// are printable ASCII, whatever is in the texts of sandboxes, so that it is safe on a terminal.
func (r Record) Line() []byte {
	line := r.encode()
	if len(line) > MaxSize {
		r.leaveOutMetrics()
		line = r.encode()
	}
	if len(line) > MaxSize {
		r.Containers = nil
		line = r.encode()
	}
	return line
}

func (r *Record) encode() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil { // cannot happen: all values have an encoding
		panic(err)
	}
	return asciiOf(b.Bytes())
}

// asciiOf replaces all characters of valid JSON that are not ASCII, and the control character DEL,
// by escapes. They are in strings only. The result may be b itself.
func asciiOf(b []byte) []byte {
	special := func(r rune) bool { return r >= 0x7f }
	if !bytes.ContainsFunc(b, special) {
		return b
	}
	ascii := make([]byte, 0, 2*len(b))
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		switch {
		case !special(r):
			ascii = append(ascii, byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			ascii = appendEscape(appendEscape(ascii, high), low)
		default:
			ascii = appendEscape(ascii, r)
		}
		b = b[size:]
	}
	return ascii
}

// appendEscape appends an escape of a UTF-16 code unit.
func appendEscape(b []byte, unit rune) []byte {
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', digits[unit>>12&15], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15])
}
