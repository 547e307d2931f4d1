package schema

import (
	"fmt"
	"testing"
)

func TestNewDrop(t *testing.T) {
	refuses := func(want string, names ...string) {
		t.Helper()
		if d, err := NewDrop(names); err == nil || err.Error() != want || d != nil {
			t.Errorf("%q: %v, want %s", names, err, want)
		}
	}
	for _, name := range []string{"sandbox", "iteration", "runtime_root", "le"} {
		refuses("label "+name+" cannot be dropped: without it, different series are equal", "pod_name", name)
	}
	for _, name := range []string{"", "a-b", "0", "__name__", "a,b", "é"} {
		refuses(fmt.Sprintf("label %q cannot be dropped: give the name of a label, such as pod_name", name), name)
	}
	if d, err := NewDrop(nil); d != nil || err != nil {
		t.Errorf("no names: %v, %v", d, err)
	}
	d, err := NewDrop([]string{"pod_name", "sysno", "pod_name"})
	if err != nil || !d.Has("pod_name") || !d.Has("sysno") || d.Has("sandbox") || (*Drop)(nil).Has("pod_name") {
		t.Errorf("%v, %v", d, err)
	}
}

const fields = `{"metrics":[
	{"name":"/a","prometheus_name":"a","cumulative":true},
	{"name":"/b","prometheus_name":"b","cumulative":true,"fields":[
		{"field_name":"x","allowed_values":["0","1","2"]},{"field_name":"y","allowed_values":["0","1"]},{"field_name":"z","allowed_values":["0","1","2","3"]}]},
	{"name":"/c","prometheus_name":"c","fields":[{"field_name":"z","allowed_values":["0","1"]}]}]}`

// TestWithout: of any fields that are dropped, the others keep their values in each series.
func TestWithout(t *testing.T) {
	s, err := Compile([]byte(fields))
	if err != nil {
		t.Fatal(err)
	}
	s.ShowZeros(Zeros{Plain: true, Names: []string{"b"}})
	check := func(series, zeros int, names ...string) {
		t.Helper()
		d, err := NewDrop(names)
		if err != nil {
			t.Fatal(err)
		}
		reduced := s.Without(d)
		if reduced.Series != series || reduced.Zeros.Series != zeros || s.Without(d) != reduced {
			t.Errorf("without %q there are %d series and %d zeros, want %d and %d", names, reduced.Series, reduced.Zeros.Series, series, zeros)
		}
		for i := range s.Metrics {
			from, to := &s.Metrics[i], &reduced.Metrics[i]
			for number := from.First; number < from.First+from.Series; number++ {
				if got, want := to.Labels(from.SeriesIn(to, number)), keptValues(from, number, d); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("without %q, series %d of %s has %q, want %q", names, number, from.Name, got, want)
				}
			}
		}
	}
	check(27, 25)
	check(11, 9, "x")
	check(15, 13, "y")
	check(8, 7, "z")
	check(4, 3, "x", "z")
	check(3, 2, "x", "y", "z")
	check(27, 25, "pod_name")
	if d, _ := NewDrop([]string{"pod_name"}); s.Without(d) != s {
		t.Error("a schema without such a field has a copy")
	}
	if s.Series != 27 || s.Zeros.Series != 25 || len(s.Metrics[1].Fields) != 3 {
		t.Errorf("the schema itself has changed: %+v", s)
	}
}

// keptValues returns the values of the fields that are not dropped.
func keptValues(m *Metric, series uint32, d *Drop) []string {
	kept := []string{}
	for i, value := range m.Labels(series) {
		if !d.Has(m.Fields[i].Name) {
			kept = append(kept, value)
		}
	}
	return kept
}
