package jscan

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

// nest returns a document of nested arrays.
func nest(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

func TestSkip(t *testing.T) {
	accept := func(document string) {
		t.Helper()
		s := New([]byte(document))
		s.Skip()
		if err := s.End(); err != nil {
			t.Errorf("%q: %v", document, err)
		}
		if s.Offset() != len(document) {
			t.Errorf("%q: stopped at byte %d", document, s.Offset())
		}
	}
	accept(`null`)
	accept(`true`)
	accept(`false`)
	accept(`0`)
	accept(`-0`)
	accept(`-1.5e+10`)
	accept(`1E-7`)
	accept(`""`)
	accept(`"a\"\\\/\b\f\n\r\tA"`)
	accept("\"\x7f\u00e9\xff\"")
	accept(`{}`)
	accept(`[]`)
	accept(` { "a" : [ 1 , { } , null ] , "a" : "b" } `)
	accept("\t\r\n[\t1\r,\n2 ]\n")
	accept(nest(MaxDepth))
	accept(string(testkit.Testdata(t, "registration.json")))
}

func TestSkipRefuses(t *testing.T) {
	refuse := func(document, want string) {
		t.Helper()
		s := New([]byte(document))
		s.Skip()
		err := s.End()
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", document, err, want)
		}
		if isTruncated := errors.Is(err, ErrTruncated); isTruncated == errors.As(err, new(*SyntaxError)) {
			t.Errorf("%q: %T is not either of two errors", document, err)
		}
	}
	const truncated = "unexpected end of JSON"
	refuse(``, truncated)
	refuse(`  `, truncated)
	refuse(`{`, truncated)
	refuse(`{"a"`, truncated)
	refuse(`{"a":`, truncated)
	refuse(`{"a":1`, truncated)
	refuse(`{"a":1,`, truncated)
	refuse(`[[]`, truncated)
	refuse(`[1,`, truncated)
	refuse(`[12`, truncated)
	refuse(`-`, truncated)
	refuse(`1.`, truncated)
	refuse(`1e`, truncated)
	refuse(`1e-`, truncated)
	refuse(`"a`, truncated)
	refuse(`"\`, truncated)
	refuse(`"\u12`, truncated)
	refuse(`"\ud800\`, truncated)
	refuse(`tru`, truncated)
	refuse(`n`, truncated)

	refuse(`x`, "expected a value at byte 0")
	refuse(` }`, "expected a value at byte 1")
	refuse(`{1:2}`, "expected a string at byte 1")
	refuse(`{"a" 1}`, "expected a colon at byte 5")
	refuse(`{"a":1 "b":2}`, "expected a comma or the end at byte 7")
	refuse(`{"a":1]`, "expected a comma or the end at byte 6")
	refuse(`{"a":1,}`, "trailing comma at byte 7")
	refuse(`{"a":}`, "expected a value at byte 5")
	refuse(`{,}`, "expected a string at byte 1")
	refuse(`[1 2]`, "expected a comma or the end at byte 3")
	refuse(`[1,]`, "trailing comma at byte 3")
	refuse(`[,]`, "expected a value at byte 1")
	refuse(`[1}`, "expected a comma or the end at byte 2")
	refuse(`[}`, "expected a value at byte 1")
	refuse(`01`, "leading zero in a number at byte 0")
	refuse(`-01`, "leading zero in a number at byte 1")
	refuse(`+1`, "expected a value at byte 0")
	refuse(`.5`, "expected a value at byte 0")
	refuse(`[1.]`, "expected a digit at byte 3")
	refuse(`[-]`, "expected a digit at byte 2")
	refuse(`[1e]`, "expected a digit at byte 3")
	refuse(`0x10`, "bytes after the end of the document at byte 1")
	refuse(`NaN`, "expected a value at byte 0")
	refuse(`[nan]`, "unknown literal at byte 1")
	refuse(`trux`, "unknown literal at byte 0")
	refuse(`nullx`, "bytes after the end of the document at byte 4")
	refuse(`{} {}`, "bytes after the end of the document at byte 3")
	refuse(`"\x"`, "unknown escape in a string at byte 1")
	refuse(`"\u12g4"`, `invalid \u escape in a string at byte 5`)
	refuse("\"a\nb\"", "control character in a string at byte 2")
	refuse("\"\\n\x00\"", "control character in a string at byte 3")
	refuse("\x00", "unexpected control character at byte 0")
	refuse("[\v]", "unexpected control character at byte 1")
	refuse("\ufeff{}", "expected a value at byte 0")
	refuse(nest(MaxDepth+1), fmt.Sprintf("nested too deeply at byte %d", MaxDepth))
	refuse(strings.Repeat(`{"":`, 1e6), fmt.Sprintf("nested too deeply at byte %d", MaxDepth*len(`{"":`)))
}

// TestSkipBeginnings: every prefix of a valid document gives ErrTruncated, not a SyntaxError.
func TestSkipBeginnings(t *testing.T) {
	document := `{"a\u00e9":[1,-2.5e3,{"b":null},true,"\ud83d\ude00\n"],"c":false} `
	for n := range len(document) - 1 {
		s := New([]byte(document[:n]))
		s.Skip()
		if err := s.End(); !errors.Is(err, ErrTruncated) {
			t.Errorf("%q: %v", document[:n], err)
		}
	}
}

func TestSkipMakesNoGarbage(t *testing.T) {
	document := []byte(`{"a\n":["\u00e9\n", "` + strings.Repeat(`\\`, 1000) + `", 1.5, null, true]}`)
	n := testing.AllocsPerRun(100, func() {
		s := New(document)
		s.Skip()
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestStr(t *testing.T) {
	accept := func(document, want string) {
		t.Helper()
		s := New([]byte(document))
		got := string(s.Str())
		if err := s.End(); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", document, got, err, want)
		}
	}
	accept(`""`, "")
	accept(` "plain" `, "plain")
	accept(`"\"\\\/\b\f\n\r\t"`, "\"\\/\b\f\n\r\t")
	accept(`"A\u00e9\u00E9\u20ac"`, "Aéé€")
	accept(`"\u0000"`, "\x00")
	accept(`"\ud83d\ude00"`, "😀")
	accept(`"\ud83d"`, "\uFFFD")
	accept(`"\ud83dx"`, "\uFFFDx")
	accept(`"\ud83d\n"`, "\uFFFD\n")
	accept(`"\ude00\ud83d"`, "\uFFFD\uFFFD")
	accept(`"\ud83d\ud83d\ude00"`, "\uFFFD😀")
	accept(`"\ud83dA"`, "\uFFFDA")
	accept("\"\xff\xc3\"", "\xff\xc3")
}

func TestKeyUnescapes(t *testing.T) {
	s := New([]byte(`{"\u0069d" : 1}`))
	s.Object()
	if !s.More() || string(s.Key()) != "id" || s.Int() != 1 || s.More() || s.End() != nil {
		t.Error(s.Err())
	}
}

func TestInt(t *testing.T) {
	accept := func(document string, want int64) {
		t.Helper()
		s := New([]byte(document))
		got := s.Int()
		if err := s.End(); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", document, got, err, want)
		}
	}
	accept(`0`, 0)
	accept(`-0`, 0)
	accept(` 42 `, 42)
	accept(`-42`, -42)
	accept(`9007199254740993`, 1<<53+1)
	accept(`9223372036854775807`, math.MaxInt64)
	accept(`-9223372036854775808`, math.MinInt64)
}

func TestIntRefuses(t *testing.T) {
	refuse := func(document, want string) {
		t.Helper()
		s := New([]byte(document))
		got := s.Int()
		if err := s.End(); err == nil || err.Error() != want || got != 0 {
			t.Errorf("%s: %d, %v, want %s", document, got, err, want)
		}
	}
	refuse(`9223372036854775808`, "not a 64-bit integer at byte 0")
	refuse(`-9223372036854775809`, "not a 64-bit integer at byte 0")
	refuse(`18446744073709551616`, "not a 64-bit integer at byte 0")
	refuse(`18446744073709551617`, "not a 64-bit integer at byte 0")
	refuse(`184467440737095516160`, "not a 64-bit integer at byte 0")
	refuse(`  1.0`, "not a 64-bit integer at byte 2")
	refuse(`  1e3`, "not a 64-bit integer at byte 2")
	refuse(`"1"`, "expected a number at byte 0")
	refuse(`null`, "expected a number at byte 0")
	refuse(`-x`, "expected a digit at byte 1")
}

func TestParseIntRefuses(t *testing.T) {
	for _, text := range []string{"", "-", "+1", "00", "01", "-01", " 1", "1 ", "1.0", "1e3", "0x1", "1_0", "１", "--1"} {
		if n, ok := ParseInt([]byte(text)); ok {
			t.Errorf("%q is taken for %d", text, n)
		}
	}
}

func TestFloat(t *testing.T) {
	accept := func(document string, want float64) {
		t.Helper()
		s := New([]byte(document))
		got := s.Float()
		if err := s.End(); err != nil || math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("%s: %g, %v, want %g", document, got, err, want)
		}
	}
	accept(`0`, 0)
	accept(`-0`, math.Copysign(0, -1))
	accept(`0.1`, 0.1)
	accept(`-1.7976931348623157e308`, -math.MaxFloat64)
	accept(`5e-324`, math.SmallestNonzeroFloat64)
	accept(`1e-400`, 0)
}

func TestFloatRefuses(t *testing.T) {
	refuse := func(document, want string) {
		t.Helper()
		s := New([]byte(document))
		got := s.Float()
		if err := s.End(); err == nil || err.Error() != want || got != 0 {
			t.Errorf("%s: %g, %v, want %s", document, got, err, want)
		}
	}
	refuse(` 1e309`, "number out of range at byte 1")
	refuse(`-1e309`, "number out of range at byte 0")
	refuse(`NaN`, "expected a number at byte 0")
	refuse(`Infinity`, "expected a number at byte 0")
	refuse(`"1"`, "expected a number at byte 0")
}

func TestWrongType(t *testing.T) {
	refuse := func(document string, read func(*Scanner), want string) {
		t.Helper()
		s := New([]byte(document))
		read(&s)
		if err := s.Err(); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", document, err, want)
		}
	}
	refuse(`null`, (*Scanner).Object, "expected an object at byte 0")
	refuse(` []`, (*Scanner).Object, "expected an object at byte 1")
	refuse(`{}`, (*Scanner).Array, "expected an array at byte 0")
	refuse(`1`, func(s *Scanner) { s.Str() }, "expected a string at byte 0")
	refuse(`null`, func(s *Scanner) { s.Str() }, "expected a string at byte 0")
	refuse(`null`, func(s *Scanner) { s.Bool() }, "expected true or false at byte 0")
	refuse(`1`, func(s *Scanner) { s.Bool() }, "expected true or false at byte 0")
	refuse(``, (*Scanner).Object, ErrTruncated.Error())
	refuse(`[]`, func(s *Scanner) { s.Array(); s.More(); s.More() }, ErrTruncated.Error())
	refuse(`1`, func(s *Scanner) { s.More() }, "nothing is open at byte 0")
}

// TestUnfinished: an incomplete value is not returned, and End fails while an object or array is
// open.
func TestUnfinished(t *testing.T) {
	s := New([]byte(`[12`))
	s.Array()
	if !s.More() || s.Int() != 0 || !errors.Is(s.Err(), ErrTruncated) {
		t.Error("a number that may have more digits was read")
	}
	s = New([]byte(`[ `))
	s.Array()
	if err := s.End(); !errors.Is(err, ErrTruncated) {
		t.Errorf("%v in an open array", err)
	}
}

func TestBoolAndNull(t *testing.T) {
	s := New([]byte(`[true, false, null, 0]`))
	s.Array()
	got := []bool{s.More(), s.Bool(), s.More(), s.Bool(), s.More(), s.Null(), s.More(), s.Null(), s.Int() == 0, s.More()}
	want := []bool{true, true, true, false, true, true, true, false, true, false}
	if fmt.Sprint(got) != fmt.Sprint(want) || s.End() != nil {
		t.Errorf("%v, %v, want %v", got, s.Err(), want)
	}
}

func TestKind(t *testing.T) {
	kind := func(document string, want byte) {
		t.Helper()
		s := New([]byte(document))
		if got := s.Kind(); got != want {
			t.Errorf("%q: %q, want %q", document, got, want)
		}
	}
	kind(`{`, '{')
	kind(` [`, '[')
	kind(`"`, '"')
	kind(`-1`, '0')
	kind(`9`, '0')
	kind(`true`, 't')
	kind(`false`, 'f')
	kind(`null`, 'n')
	kind(``, 0)
	kind("\x00", 0)
}

// TestErrorSticks: after an error, nothing more is read, and loops end.
func TestErrorSticks(t *testing.T) {
	s := New([]byte(`{"a":[1,2]}`))
	s.Object()
	s.More()
	s.Key()
	s.Fail("no more")
	s.Fail("and another")
	s.Array()
	if s.More() || s.Int() != 0 || s.Float() != 0 || s.Bool() || s.Null() || s.Str() != nil || s.Number() != nil || s.Key() != nil || s.Kind() != 0 {
		t.Error("something was read after an error")
	}
	s.Skip()
	const want = "no more at byte 5"
	if err := s.End(); err == nil || err.Error() != want || s.Err() != err {
		t.Errorf("%v and %v, want %s", err, s.Err(), want)
	}
}

func TestAdvance(t *testing.T) {
	s := New([]byte(`[ {"known":1},2]`))
	s.Array()
	s.More()
	s.Kind()
	if rest := string(s.Rest()); !strings.HasPrefix(rest, `{"known":1}`) {
		t.Fatal(rest)
	}
	s.Advance(len(`{"known":1}`))
	if !s.More() || s.Int() != 2 || s.More() || s.End() != nil {
		t.Error(s.Err())
	}
}
