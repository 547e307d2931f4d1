package metricclient

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestSamples(t *testing.T) {
	page := MetricData(`# HELP up Whether it is.
# TYPE up gauge
up 1
calls{kind="a\"b",sandbox="x"} 9007199254740993 1795338783582

  h_bucket{le="+Inf"} 3
nonsense
h_sum NaN
`)
	want := []Sample{
		{Name: "up", Value: 1, Text: "1"},
		{Name: "calls", Labels: map[string]string{"kind": `a"b`, "sandbox": "x"}, Value: 9007199254740992, Text: "9007199254740993",
			Time: time.UnixMilli(1795338783582).UTC()},
		{Name: "h_bucket", Labels: map[string]string{"le": "+Inf"}, Value: 3, Text: "3"},
		{Name: "h_sum", Text: "NaN"},
	}
	var got []Sample
	var errs []string
	for s, err := range page.Samples() {
		switch {
		case err != nil:
			errs = append(errs, err.Error())
		case s.Text == "NaN":
			s.Value = 0 // NaN does not equal itself
			fallthrough
		default:
			got = append(got, s)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if len(errs) != 1 || !strings.Contains(errs[0], "nonsense") {
		t.Errorf("errors are %q", errs)
	}
	for s := range page.Samples() {
		if s.Name != "up" {
			t.Errorf("%s after the loop ended", s.Name)
		}
		break
	}
}
