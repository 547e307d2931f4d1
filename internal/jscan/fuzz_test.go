package jscan

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strconv"
	"testing"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

// FuzzScanner compares the scanner with encoding/json: both accept the same documents, except for
// the nesting limit, and return the same values.
func FuzzScanner(f *testing.F) {
	f.Add(testkit.Testdata(f, "export.json"))
	for _, document := range []string{
		`null`, `true`, `false`, `0`, `-0.5e-7`, `9223372036854775808`, `""`, `{}`, `[]`, nest(MaxDepth), nest(MaxDepth + 1),
		`{"a":[1,-2.5e3,{"b":null},true,"\ud83d\ude00\n\ud83d\u0041"],"a":false}`,
		"{\"\xff\u00e9\":\"\x7f\"}", `[1,]`, `{"a":1,}`, `[01]`, `[1 2]`, `{"a" 1}`, `"\x"`, "\"\n\"", `[tru`, `1e400`, `{}x`, "\v",
	} {
		f.Add([]byte(document))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := New(data)
		s.Skip()
		err := s.End()
		if want := json.Valid(data) && depthOf(data) <= MaxDepth; want != (err == nil) {
			t.Fatalf("%v, though it is %v that it is sound", err, want)
		}
		if err != nil {
			return
		}
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		var want any
		if err := decoder.Decode(&want); err != nil {
			t.Fatal(err)
		}
		s = New(data)
		got := decode(&s)
		if err := s.End(); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v\n%#v, want\n%#v", err, got, want)
		}
	})
}

// depthOf returns the nesting depth of a valid document.
func depthOf(data []byte) (deepest int) {
	depth := 0
	for decoder := json.NewDecoder(bytes.NewReader(data)); ; {
		token, err := decoder.Token()
		if err != nil {
			return deepest
		}
		switch token {
		case json.Delim('['), json.Delim('{'):
			depth++
			deepest = max(deepest, depth)
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
	}
}

// decode reads a value into the type that encoding/json uses.
func decode(s *Scanner) any {
	switch s.Kind() {
	case '{':
		object := map[string]any{}
		for s.Object(); s.More(); {
			key := validUTF8(s.Key())
			object[key] = decode(s)
		}
		return object
	case '[':
		array := []any{}
		for s.Array(); s.More(); {
			array = append(array, decode(s))
		}
		return array
	case '"':
		return validUTF8(s.Str())
	case '0':
		return json.Number(s.Number())
	case 'n':
		s.Null()
		return nil
	default:
		return s.Bool()
	}
}

// validUTF8 replaces each invalid byte with U+FFFD, as encoding/json does.
func validUTF8(b []byte) string { return string([]rune(string(b))) }

// FuzzNumber compares numbers with strconv.
func FuzzNumber(f *testing.F) {
	for _, text := range []string{
		"0", "-0", "1", "-1", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
		"18446744073709551616", "1.5", "1e3", "1e400", "5e-324", "01", "+1", "-", "", "0x1p-2", "1_000", "inf", "nan",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := New([]byte(text))
		number := s.Number()
		if s.End() != nil || len(number) != len(text) {
			return // FuzzScanner checks these
		}
		wantInt, err := strconv.ParseInt(text, 10, 64)
		gotInt, ok := ParseInt(number)
		if ok != (err == nil) || ok && gotInt != wantInt {
			t.Errorf("%q is %d, %v as an integer, want %d, %v", text, gotInt, ok, wantInt, err)
		}
		wantFloat, err := strconv.ParseFloat(text, 64)
		s = New([]byte(text))
		gotFloat := s.Float()
		if (s.End() == nil) != (err == nil) || err == nil && math.Float64bits(gotFloat) != math.Float64bits(wantFloat) {
			t.Errorf("%q is %g, %v as a float, want %g, %v", text, gotFloat, s.Err(), wantFloat, err)
		}
	})
}

// FuzzPull calls the methods in an arbitrary order, which must end without a panic.
func FuzzPull(f *testing.F) {
	f.Add([]byte(`{"a":[1,2,{"b":"c"}],"d":null}`), []byte{0, 2, 3, 1, 2, 6, 2, 8})
	f.Add([]byte(`[[[]]]`), []byte{1, 2, 1, 2, 1, 2, 2, 2})
	f.Add([]byte(`1 2 3`), []byte{6, 6, 6, 2})
	f.Fuzz(func(t *testing.T, data, calls []byte) {
		s := New(data)
		for _, call := range calls {
			err := s.Err()
			switch call % 11 {
			case 0:
				s.Object()
			case 1:
				s.Array()
			case 2:
				s.More()
			case 3:
				s.Key()
			case 4:
				s.Str()
			case 5:
				s.Bool()
			case 6:
				s.Int()
			case 7:
				s.Null()
			case 8:
				s.Skip()
			case 9:
				s.Float()
			case 10:
				s.Kind()
			}
			if err != nil && s.Err() != err {
				t.Fatalf("the first error was %v, and then it was %v", err, s.Err())
			}
			if err := s.Err(); err != nil && !errors.Is(err, ErrTruncated) && !errors.As(err, new(*SyntaxError)) {
				t.Fatalf("%T", err)
			}
			if s.Offset() < 0 || s.Offset() > len(data) {
				t.Fatalf("at byte %d of %d", s.Offset(), len(data))
			}
		}
		s.End()
	})
}
