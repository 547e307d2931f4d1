package schema

import (
	"slices"
	"testing"
)

func TestShowZeros(t *testing.T) {
	const registration = `{"metrics":[
		{"name":"/plain","prometheus_name":"plain","description":"","cumulative":true},
		{"name":"/gauge","prometheus_name":"gauge","description":""},
		{"name":"/took","prometheus_name":"took","description":"","type":1,"distribution_bucket_lower_bounds":[1]},
		{"name":"/calls","prometheus_name":"calls","description":"","cumulative":true,"fields":[{"field_name":"no","allowed_values":["1","2","3"]}]}]}`
	shows := func(which Zeros, series int, want ...string) {
		t.Helper()
		s := compiled(t, registration)
		s.ShowZeros(which)
		var got []string
		for i := range s.Metrics {
			if s.Metrics[i].Zero {
				got = append(got, s.Metrics[i].Name)
			}
		}
		if !slices.Equal(got, want) || s.Zeros.Series != series {
			t.Errorf("%+v shows %d series of %q, want %d of %q", which, s.Zeros.Series, got, series, want)
		}
	}
	shows(Zeros{}, 0)
	shows(Zeros{Plain: true}, 1, "plain")
	shows(Zeros{Names: []string{"calls"}}, 3, "calls")
	shows(Zeros{Plain: true, Names: []string{"calls", "gauge", "took", "unknown"}}, 4, "calls", "plain")
}
