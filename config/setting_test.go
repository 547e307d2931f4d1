package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"
	"time"
)

func TestSetting(t *testing.T) {
	short := func(text string) error {
		if len(text) > 3 {
			return errors.New("too long")
		}
		return nil
	}
	check := func(s Setting, want, wantError string, texts ...string) {
		t.Helper()
		s.Name = "x"
		got := ""
		if err := s.Set(texts...); err != nil {
			got = err.Error()
		}
		if got != wantError || wantError == "" && fmt.Sprintf("%q", s.Texts()) != want {
			t.Errorf("%q: %q, error %q, want %s, %q", texts, s.Texts(), got, want, wantError)
		}
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	check(Setting{Value: new(bool)}, `["true"]`, "", "true")
	check(Setting{Value: new(bool)}, "", `x "maybe": give true or false`, "maybe")
	check(Setting{Value: new(int)}, `["-7"]`, "", "-7")
	check(Setting{Value: new(int)}, "", `x "1.5": give a whole number`, "1.5")
	check(Setting{Value: new(time.Duration)}, `["2m0s"]`, "", "120s")
	check(Setting{Value: new(time.Duration)}, "", `x "5": give a number with a unit, such as 2s or 500ms`, "5")
	check(Setting{Value: new(fs.FileMode)}, `["0640"]`, "", "640")
	check(Setting{Value: new(fs.FileMode)}, "", `x "01777": give an octal number such as 0660`, "01777")
	check(Setting{Value: new(string)}, `["a,b"]`, "", "a,b")
	check(Setting{Value: new(string)}, `[]`, "", "")
	check(Setting{Value: new(string), Check: short}, "", `x "long": too long`, "long")
	check(Setting{Value: new(string), Choices: []string{"a", "b", "c"}}, "", `x "d": choose a, b or c`, "d")
	check(Setting{Value: new(string), Choices: []string{"longer"}, Check: short}, `["longer"]`, "", "longer")
	check(Setting{Value: new(string), Path: true}, `["`+here+`/b"]`, "", "a/../b/")
	check(Setting{Value: new(string), Path: true}, "", `x "": give a path`, "")
	check(Setting{Value: new([]string)}, `["a" "b" "c"]`, "", "a,b", "c")
	check(Setting{Value: &[]string{"default"}}, `["a"]`, "", "a")
	check(Setting{Value: new([]string), Whole: true}, `["a{1,2}" "b"]`, "", "a{1,2}", "b")
	check(Setting{Value: new([]string), Check: short}, "", `x "long": too long`, "a,long")
	check(Setting{Value: new([]string), Path: true, Choices: []string{"off"}}, `["off" "/a"]`, "", "off,/a")
}

// TestVerifySetting: a value that was assigned is checked, and its commas do not separate values.
func TestVerifySetting(t *testing.T) {
	roots := []string{"/a,b", "/c/"}
	s := Setting{Name: "root", Value: &roots, Path: true}
	if err := s.Verify(); err != nil || fmt.Sprint(roots) != "[/a,b /c]" {
		t.Errorf("%q, %v", roots, err)
	}
	timeout := -time.Second
	s = Setting{Name: "timeout", Value: &timeout, Check: func(string) error { return errors.New("must be positive") }}
	if err := s.Verify(); err == nil || err.Error() != `timeout "-1s": must be positive` {
		t.Errorf("the error is %v", err)
	}
}

func TestCheckAddress(t *testing.T) {
	check := func(want string, addresses ...string) {
		t.Helper()
		for _, address := range addresses {
			got := ""
			if err := CheckAddress(address); err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("%q: %q, want %q", address, got, want)
			}
		}
	}
	check("", ":80", "localhost:http", "[::1]:80", "/run/s", "%RUNTIME_ROOT%/s")
	check("give host:port, :port or the absolute path of a Unix socket", "", "nonsense", "localhost:", ":99999", ":nonsense", "::1:80", "none.sock", "./none",
		"http://localhost:80", "http://localhost:80/metrics", "unix:/run/s", "unix:///run/s")
}
