package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestFrame(t *testing.T) {
	// The value in text ends where the bar stands.
	ends := func(text string) {
		t.Helper()
		value, rest, _ := strings.Cut(text, "|")
		data := []byte(value + rest)
		for piece := 1; piece <= len(data); piece++ {
			var f frame
			for n := piece; ; n += piece {
				n = min(n, len(data))
				if got, want := f.ended(data[:n]), n >= len(value); got != want {
					t.Errorf("%s: in pieces of %d: %v after %q", text, piece, got, data[:n])
				}
				if n == len(data) {
					break
				}
			}
		}
	}
	ends(`{}|`)
	ends(`""|`)
	ends(`{"a":[{},{}],"b":{"c":"d"}}|`)
	ends(`{}|{}`)
	ends(`{}|]}`)
	ends(`"a"|"b"`)

	// Brackets in strings do not count, and an escaped quote ends none.
	ends(`{"}":"]}"}|`)
	ends(`["\"]"]|`)
	ends(`["\\"]|"]`)

	// A value that is not a reply ends at once, so that the parser can refuse it.
	ends(`4|2`)
	ends(`n|ull`)
	ends(`}|`)
	ends("\ufeff{}"[:1] + "|" + "\ufeff{}"[1:])

	// The frame does not distinguish brackets, which is left to the parser.
	ends(`{]|`)

	never := func(text string) {
		t.Helper()
		if new(frame).ended([]byte(text)) {
			t.Errorf("%q has ended", text)
		}
	}
	never("")
	never(`{"a":{}`)
	never(`"\"`)
	never(`{"a":"}`)
}

// FuzzFrame: for any split into fragments, the frame ends where encoding/json ends the value.
func FuzzFrame(f *testing.F) {
	for _, seed := range []string{`{"success":true,"err":"","result":{"snapshot":{"when":"x","data":[{"val":{"int":1}}]}}}`, ` [ "\"", "\\" ] {}`, `"a\u0022b"`, `{"a":[`, `{]`} {
		f.Add([]byte(seed), uint16(3))
	}
	f.Fuzz(func(t *testing.T, data []byte, piece uint16) {
		end, known := endOfValue(data)
		if !known {
			return
		}
		var f frame
		for n := 0; n < len(data); {
			n = min(n+1+int(piece), len(data))
			if got, want := f.ended(data[:n]), end <= n; got != want {
				t.Fatalf("ended(%q) = %v, but the value's end is %d", data[:n], got, end)
			}
		}
	})
}

// endOfValue returns the length of the object, array or string that data begins with, one more than
// that of data if it is not complete. It is undefined for other values.
func endOfValue(data []byte) (end int, known bool) {
	if first := bytes.TrimLeft(data, " \t\r\n"); len(first) == 0 || !bytes.ContainsRune([]byte(`{["`), rune(first[0])) {
		return 0, false
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	var value json.RawMessage
	switch err := decoder.Decode(&value); {
	case err == nil:
		return int(decoder.InputOffset()), true
	case errors.Is(err, io.ErrUnexpectedEOF):
		return len(data) + 1, true
	}
	return 0, false
}
