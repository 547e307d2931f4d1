package metricclient

import (
	"fmt"
	"testing"
)

func TestSamples(t *testing.T) {
	page := MetricData(`# HELP up Whether it is.
# TYPE up gauge
calls{kind="a\"b",sandbox="x"} 9007199254740993 1795338783582

nonsense
  up NaN
`)
	var got []string
	for s, err := range page.Samples() {
		got = append(got, fmt.Sprintf("%s%v %v %s %v %v", s.Name, s.Labels, s.Value, s.Text, s.Time, err))
	}
	want := []string{
		`callsmap[kind:a"b sandbox:x] 9.007199254740992e+15 9007199254740993 2026-11-22 09:13:03.582 +0000 UTC <nil>`,
		`map[] 0  0001-01-01 00:00:00 +0000 UTC malformed line: no value: nonsense`,
		`upmap[] NaN NaN 0001-01-01 00:00:00 +0000 UTC <nil>`,
	}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for s := range page.Samples() {
		if s.Name != "calls" {
			t.Errorf("%s after the loop ended", s.Name)
		}
		break
	}
}
