package families

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
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
	refuses("given twice", "a", "b", "a")
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
	check := func(name string, unit schema.Unit, want string) {
		t.Helper()
		m := counterMetric(snapshot.TotalsCounter{Name: name, Unit: unit})
		if m.Name != "sandmeter_sandboxes_"+want || m.Unit != unit {
			t.Errorf("%s is %s", name, m.Name)
		}
	}
	check("fs_opens", schema.NoUnit, "fs_opens_total")
	check("fs_opens_total", schema.NoUnit, "fs_opens_total")
	check("fs_read_wait", schema.Nanoseconds, "fs_read_wait_seconds_total")
	check("fs_read_wait_nanoseconds", schema.Nanoseconds, "fs_read_wait_seconds_total")
}
