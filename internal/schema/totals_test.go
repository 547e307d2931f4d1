package schema

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestCheckTotals(t *testing.T) {
	takes := func(names ...string) {
		t.Helper()
		if err := CheckTotals(names); err != nil {
			t.Errorf("%q: %v", names, err)
		}
	}
	refuses := func(want string, names ...string) {
		t.Helper()
		if err := CheckTotals(names); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", names, err, want)
		}
	}
	takes()
	takes("fs_opens", "fs_reads_total", "weirdness", "fs_read_wait", "x_nanoseconds")

	refuses("give a name as runsc registers it", "")
	refuses("give a name as runsc registers it", "Fs_opens")
	refuses("give a name as runsc registers it", "fs/opens")
	refuses("give a name as runsc registers it", "fs_opens", "a b")
	refuses("it is given twice", "a", "b", "a")
	refuses("conflicts with a", "a", "a_total")
	refuses("conflicts with a", "a", "a_seconds")
	refuses("conflicts with a", "a", "a_nanoseconds")

	// Names of the server's own families and of their samples, in any format.
	refuses("conflicts with sandmeter_sandboxes_started_total", "started")
	refuses("conflicts with sandmeter_sandboxes_started_total", "started_total")
	refuses("conflicts with sandmeter_sandboxes_started_total", "started_created")
	refuses("conflicts with sandmeter_sandboxes_cpu_seconds_total", "cpu") // if it is a time
	refuses("conflicts with sandmeter_sandboxes_cpu_seconds_total", "cpu_seconds")
	refuses("conflicts with sandmeter_sandboxes_failed", "failed")
	for _, suffix := range []string{"", "_bucket", "_sum", "_count", "_created"} {
		refuses("conflicts with sandmeter_sandboxes_lifetime_seconds", "lifetime_seconds"+suffix)
	}

	var many []string
	for i := range MaxTotalsCounters {
		many = append(many, fmt.Sprintf("metric%d", i))
	}
	takes(many...)
	refuses("give at most 32", append(many, "a")...)
}

func TestTotalsNames(t *testing.T) {
	check := func(name string, unit Unit, want string) {
		t.Helper()
		m := TotalsCounter{name, unit}.metric()
		if m.Name != "sandmeter_sandboxes_"+want || m.Unit != unit {
			t.Errorf("%s is %s", name, m.Name)
		}
	}
	check("fs_opens", NoUnit, "fs_opens_total")
	check("fs_opens_total", NoUnit, "fs_opens_total")
	check("fs_read_wait", Nanoseconds, "fs_read_wait_seconds_total")
	check("fs_read_wait_nanoseconds", Nanoseconds, "fs_read_wait_seconds_total")
}

// TestTotals: all schemas of totals are sorted, and their kinds tell which family is where.
func TestTotals(t *testing.T) {
	for _, grouped := range []bool{false, true} {
		for _, measured := range []bool{false, true} {
			s := NewTotals([]TotalsCounter{{Name: "zz"}, {Name: "aa"}}, grouped, measured)
			if !slices.IsSortedFunc(s.Metrics, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) }) || len(s.Kinds) != len(s.Metrics) {
				t.Errorf("the metrics are %+v", s.Metrics)
			}
			for i, kind := range s.Kinds {
				m := &s.Metrics[i]
				want := map[int]string{TotalFamilies: "sandmeter_sandboxes_zz_total", TotalFamilies + 1: "sandmeter_sandboxes_aa_total"}[kind]
				if kind < TotalFamilies {
					want = totalsMetrics[kind].Name
				}
				if m.Name != want || !m.Whole || m.Type == Histogram && len(m.Bounds) == 0 {
					t.Errorf("kind %d is %+v, want %s", kind, m, want)
				}
				if hasGroup := slices.Contains(m.SetLabels, GroupLabel); m.Open && hasGroup != grouped {
					t.Errorf("%s has labels %q", m.Name, m.SetLabels)
				}
			}
		}
	}
	for i := range totalsMetrics {
		if m := &totalsMetrics[i]; m.Type == Histogram && !increasing(m.Bounds) {
			t.Errorf("the bounds of %s are %v", m.Name, m.Bounds)
		}
	}
}
