package metricclient

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// readLine parses a page with one line of the metric m, and returns the error of Samples. A lookup
// must fail exactly when Samples does.
func readLine(t testing.TB, line string) error {
	t.Helper()
	var samplesErr error
	for _, samplesErr = range MetricData(line + "\n").Samples() {
		break
	}
	_, lookupErr := MetricData(line+"\n").only("m", nil)
	if (samplesErr == nil) != (lookupErr == nil) || errors.Is(lookupErr, ErrNoSample) {
		t.Errorf("%.100q: Samples says %v, a lookup %v", line, samplesErr, lookupErr)
	}
	return samplesErr
}

func TestLinesThatTheFormatRefuses(t *testing.T) {
	f := func(line, reason string) {
		t.Helper()
		wantError(t, readLine(t, line), nil, "malformed line: "+reason, ": "+excerpt(strings.TrimRight(line, blanks)))
	}
	f("m", "no value")
	f(`m{l="v"}`, "no value")
	f("m 1 2 3", "more than a value and a timestamp")

	// Numbers use Go notation, without the forms that are only for source code.
	f("m 1_2", "the value is not a number")
	f("m 0x1p4", "the value is not a number")
	f("m one", "the value is not a number")
	f("m 1e999", "the value does not fit a float64")
	f("m 1 2.5", "the timestamp is not a number of milliseconds")
	f("m 1 99999999999999999999", "the timestamp is not a number of milliseconds")

	// Only spaces and tabs separate tokens.
	f("m 1\r", "the value is not a number")
	f("m 1 2\r", "the timestamp is not a number of milliseconds")
	f("m\u00a01", "the value is not a number")
	f("m{\rl=\"v\"} 1", "no label name")
	f("m{l=\r\"v\"} 1", "no label value")

	// Names consist of letters, digits, underscores and, except in labels, colons.
	f("m.n 1", "the value is not a number")
	f("mä 1", "the value is not a number")
	f(`m{l:a="v"} 1`, "no label name")
	f(`m{ä="v"} 1`, "no label name")
	f(`m{1="v"} 1`, "no label name")
	f(`m{__name__="v"} 1`, "the label __name__")
	f(`m{l="v",l="v"} 1`, "a label twice")

	f(`m{`, "no label name")
	f(`m{="v"} 1`, "no label name")
	f(`m{l="v",,} 1`, "no label name")
	f(`m{l=v} 1`, "no label value")
	f(`m{l="v} 1`, "a label value without end")
	f(`m{l="v\`, "a label value without end")
	f(`m{l="v\"`, "a label value without end")
	f(`m{l="\t"} 1`, "an unknown escape")
	f(`m{l="v" a="b"} 1`, "no comma")
	f("m{l=\"\xff\"} 1", "a label value that is not UTF-8")
	f("m{l=\"\\n\xc3\"} 1", "a label value that is not UTF-8")
}

func TestLinesThatAreOfNoMetric(t *testing.T) {
	f := func(line string) {
		t.Helper()
		for _, err := range MetricData(line + "\nm 1\n").Samples() {
			wantError(t, err, nil, "malformed line: no name: "+excerpt(line))
			break
		}
		if _, err := MetricData(line+"\nm 1\n").only("m", nil); err != nil {
			t.Errorf("%q: a lookup of another metric says %v", line, err)
		}
	}
	f("\r")
	f("\u00a0m 1")
	f("1m 1")
	f("{} 1")
	f(`"m" 1`)
}

func TestLinesThatTheFormatAllows(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		if err := readLine(t, line); err != nil {
			t.Error(err)
			return
		}
		for s := range MetricData(line + "\n").Samples() {
			got := fmt.Sprint(s.Name, s.Labels, " ", s.Value)
			if !s.Time.IsZero() {
				got += fmt.Sprint(" ", s.Time.UnixMilli())
			}
			if got != want {
				t.Errorf("%q: got %s, want %s", line, got, want)
			}
		}
	}
	f("m 1", "mmap[] 1")
	f(" \tm\t1\t2\t ", "mmap[] 1 2")
	f("m-Inf", "mmap[] -Inf")
	f("m{}1", "mmap[] 1")
	f("m Infinity", "mmap[] +Inf")
	f("m 1e-999", "mmap[] 0")
	f("m 1 +5", "mmap[] 1 5")
	f("m 1 007", "mmap[] 1 7")
	f("m{l=\"\x00\x1b\r\u2028\"} 1", "mmap[l:\x00\x1b\r\u2028] 1")
	f(`m{l = "v" , } 1`, "mmap[l:v] 1")
}

// TestErrorsAreShort parses lines of one megabyte, each malformed in a different place.
func TestErrorsAreShort(t *testing.T) {
	long := strings.Repeat("1\x1b", 1<<19)
	for _, line := range []string{
		"m " + long, "m 1 " + long, "m 1 2 " + long, "m{" + long, `m{l="` + long, `m{l="` + long + `"} 1 x`, `m{l="\` + long,
		"m\x1b" + long, "m 1" + strings.Repeat(" 1", 1<<19), "m 1" + strings.Repeat("0", 1<<20), "m " + strings.Repeat("9", 1<<20) + "e9",
		"m " + strings.Repeat("\u00a0", 1<<19),
	} {
		err := readLine(t, line)
		wantError(t, err, nil, "malformed line")
		if n := len(err.Error()); n > 2000 {
			t.Errorf("%.20q…: the error has %d bytes", line, n)
		}
	}
}

// TestManyLabelsOnALine parses a line with so many labels that comparing every pair would take
// minutes.
func TestManyLabelsOnALine(t *testing.T) {
	const labels = 1 << 16
	var b strings.Builder
	b.WriteString("m{")
	for i := range labels {
		fmt.Fprintf(&b, `l%d="v",`, i)
	}
	if err := readLine(t, b.String()+`last="v"} 1`); err != nil {
		t.Error(err)
	}
	wantError(t, readLine(t, b.String()+`l0="v"} 1`), nil, "a label twice")
}
