package jscan

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

// nest returns a document of nested arrays.
func nest(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

func TestSkip(t *testing.T) {
	for _, document := range []string{
		`null`, `true`, `-0`, `-1.5e+10`, `1E-7`, `"a\"\\\/\b\f\n\r\tA"`, "\"\x7f\u00e9\xff\"", `[]`, ` { "a" : [ 1 , { } , null ] , "a" : "b" } `,
		"\t\r\n[\t1\r,\n2 ]\n", nest(MaxDepth), string(testkit.Testdata(t, "registration.json")),
	} {
		s := New([]byte(document))
		s.Skip()
		if err := s.End(); err != nil || s.Offset() != len(document) {
			t.Errorf("%q: %v, stopped at byte %d", document, err, s.Offset())
		}
	}
}

// TestSkipRefuses has a document for each error. FuzzScanner finds what else is no JSON.
func TestSkipRefuses(t *testing.T) {
	for document, want := range map[string]string{
		`x`:                "expected a value at byte 0",
		`{1:2}`:            "expected a string at byte 1",
		`{"a" 1}`:          "expected a colon at byte 5",
		`{"a":1]`:          "expected a comma or the end at byte 6",
		`{"a":1,}`:         "trailing comma at byte 7",
		`[1,]`:             "trailing comma at byte 3",
		`-01`:              "leading zero in a number at byte 1",
		`[1.]`:             "expected a digit at byte 3",
		`[nan]`:            "unknown literal at byte 1",
		`{} {}`:            "bytes after the end of the document at byte 3",
		`"\x"`:             "unknown escape in a string at byte 1",
		`"\u12g4"`:         `invalid \u escape in a string at byte 5`,
		"\"\\n\x00\"":      "control character in a string at byte 3",
		"[\v]":             "unexpected control character at byte 1",
		nest(MaxDepth + 1): fmt.Sprintf("nested too deeply at byte %d", MaxDepth),
	} {
		s := New([]byte(document))
		s.Skip()
		if err := s.End(); err == nil || err.Error() != want || !errors.As(err, new(*SyntaxError)) {
			t.Errorf("%q: %v, want %s", document, err, want)
		}
	}
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
	accept(`"\"\\\/\b\f\n\r\t"`, "\"\\/\b\f\n\r\t")
	accept(`"A\u00e9\u00E9\u20ac"`, "Aéé€")
	accept(`"\ud83d\ude00"`, "😀")
	accept(`"\ud83d"`, "\uFFFD")
	accept(`"\ud83d\n"`, "\uFFFD\n")
	accept(`"\ude00\ud83d"`, "\uFFFD\uFFFD")
	accept(`"\ud83d\ud83d\ude00"`, "\uFFFD😀")
	accept("\"\xff\xc3\"", "\xff\xc3")
}

// TestNumbers: numbers that have no integer or no float. FuzzNumber compares the values with strconv.
func TestNumbers(t *testing.T) {
	for document, want := range map[string]string{
		`9007199254740993`: "", `-9223372036854775808`: "", `9223372036854775808`: "not a 64-bit integer at byte 0", `  1.0`: "not a 64-bit integer at byte 2",
		`1e3`: "not a 64-bit integer at byte 0", `"1"`: "expected a number at byte 0", `-x`: "expected a digit at byte 1",
	} {
		s := New([]byte(document))
		n := s.Int()
		if err := s.End(); want == "" && (err != nil || fmt.Sprint(n) != document) || want != "" && (err == nil || err.Error() != want || n != 0) {
			t.Errorf("%s: %d, %v, want %s", document, n, err, want)
		}
	}
	for document, want := range map[string]string{` 1e309`: "number out of range at byte 1", `NaN`: "expected a number at byte 0"} {
		s := New([]byte(document))
		n := s.Float()
		if err := s.End(); err == nil || err.Error() != want || n != 0 {
			t.Errorf("%s: %g, %v, want %s", document, n, err, want)
		}
	}
	for _, text := range []string{"", "-", "+1", "00", "-01", " 1", "1.0", "0x1", "1_0", "１", "--1", "-+1"} {
		if n, ok := ParseInt([]byte(text)); ok {
			t.Errorf("%q is taken for %d", text, n)
		}
	}
	long := bytes.Repeat([]byte("9"), 1<<20)
	if n := testing.AllocsPerRun(10, func() { ParseInt(long) }); n != 0 {
		t.Errorf("an integer that is too long takes %v allocations", n)
	}
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
