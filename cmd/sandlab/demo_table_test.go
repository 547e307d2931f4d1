package main

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/runsc"
	"github.com/sandmeter/sandmeter/metricclient"
)

var tableSandboxes = []demoSandbox{
	{id: "idle"},
	{id: "pod", pod: runsc.Pod{Name: "web", Namespace: "shop"}},
	{id: "gone", pod: runsc.Pod{Name: "web", Namespace: "shop"}},
}

const pageBefore = `# TYPE runsc_fs_opens counter
runsc_fs_opens{iteration="a",sandbox="idle"} 8 1795338783582
runsc_fs_opens{iteration="b",namespace_name="shop",pod_name="web",sandbox="pod"} 12345 1795338783582
# TYPE runsc_fs_reads counter
runsc_fs_reads{iteration="b",namespace_name="shop",pod_name="web",sandbox="pod"} 7 1795338783582
# TYPE runsc_meta_sandbox_metadata gauge
runsc_meta_sandbox_metadata{iteration="b",namespace_name="shop",platform="systrap",pod_name="web",sandbox="pod"} 1 1795338783582
# TYPE runsc_meta_sandbox_running gauge
runsc_meta_sandbox_running{iteration="a",sandbox="idle"} 1 1795338783582
runsc_meta_sandbox_running{iteration="b",namespace_name="shop",pod_name="web",sandbox="pod"} 1 1795338783582
`

// On the later page, the sandbox idle has ended and begun to read; the samples of the pod are 2 s
// and 1.5 s newer.
const pageAfter = `runsc_fs_opens{iteration="b",namespace_name="shop",pod_name="web",sandbox="pod"} 12846 1795338785582
runsc_fs_reads{iteration="a",sandbox="idle"} 3 1795338785582
runsc_fs_reads{iteration="b",namespace_name="shop",pod_name="web",sandbox="pod"} 8 1795338785082
runsc_meta_sandbox_metadata{iteration="b",namespace_name="shop",platform="systrap",pod_name="web",sandbox="pod"} 1 1795338783582
runsc_meta_sandbox_running{iteration="a",sandbox="idle"} 0 1795338785582
runsc_meta_sandbox_running{iteration="b",namespace_name="shop",pod_name="web",sandbox="pod"} 1 1795338785582
`

func mustReadDemo(t *testing.T, page metricclient.MetricData) []demoFacts {
	t.Helper()
	facts, err := readDemo(page, tableSandboxes)
	if err != nil {
		t.Fatal(err)
	}
	return facts
}

func TestDemoTable(t *testing.T) {
	before, after := mustReadDemo(t, pageBefore), mustReadDemo(t, pageAfter)
	check := func(table cli.Table, want string) {
		t.Helper()
		got := "\n" + strings.Join(table.Lines(0), "\n") + "\n"
		if got != want {
			t.Errorf("table:%s\nwant:%s", got, want)
		}
	}
	check(demoTable("", nil, before), `
SANDBOX  POD       STATE      OPENS   OPENS/S    READS   READS/S
idle     -         running        8         -        -         -
pod      shop/web  running    12345         -        7         -
gone     -         -              -         -        -         -
`)
	check(demoTable("", before, after), `
SANDBOX  POD       STATE      OPENS   OPENS/S    READS   READS/S
idle     -         ended          -         -        3         -
pod      shop/web  running    12846     250.5        8       0.7
gone     -         -              -         -        -         -
`)
	check(demoTable("simulated", nil, before[:1]), `
simulated  SANDBOX  POD  STATE      OPENS   OPENS/S    READS   READS/S
simulated  idle     -    running        8         -        -         -
`)
}

// TestDemoTableOnANarrowTerminal: columns are left out, and never cut.
func TestDemoTableOnANarrowTerminal(t *testing.T) {
	table := demoTable("simulated", nil, mustReadDemo(t, pageBefore)[1:2])
	check := func(columns int, want string) {
		t.Helper()
		if got := table.Lines(columns); len(got) != 2 || got[1] != want {
			t.Errorf("%d columns: %q, want %q", columns, got, want)
		}
	}
	check(80, "simulated  pod      shop/web  running    12345         -        7         -")
	check(70, "simulated  pod      shop/web  running    12345         -        7")
	check(60, "simulated  pod      shop/web  running    12345         -")
	check(50, "simulated  pod      shop/web  running    12345")
	check(40, "simulated  pod      shop/web  running")
	check(30, "simulated  pod      running")
	check(20, "simulated  pod")
	check(5, "simulated  pod")
}

// TestDemoTableIsPrintable: control characters of labels do not reach the terminal.
func TestDemoTableIsPrintable(t *testing.T) {
	sandboxes := []demoSandbox{{id: "a\x1b[31m"}, {id: "b", pod: runsc.Pod{Name: "web\x07\r", Namespace: "\u202e"}}}
	facts, err := readDemo("runsc_meta_sandbox_metadata{namespace_name=\"\u202e\",pod_name=\"web\x07\r\",sandbox=\"b\"} 1 1795338783582\n"+
		"runsc_meta_sandbox_running{sandbox=\"a\x1b[31m\"} 1 1795338783582\n", sandboxes)
	if err != nil {
		t.Fatal(err)
	}
	table := strings.Join(demoTable("", nil, facts).Lines(0), "\n")
	contains(t, table, `"a\x1b[31m"`, `"\u202e/web\a\r"`, demoRunning)
	for _, r := range table {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("the table has %q:\n%s", r, table)
		}
	}
}

func TestReadDemoRefusesNonsense(t *testing.T) {
	refuses := func(page metricclient.MetricData) {
		t.Helper()
		if facts, err := readDemo(page, tableSandboxes); err == nil {
			t.Errorf("no error, but %v of %s", facts, page)
		}
	}
	refuses(`runsc_fs_opens{sandbox="idle"} 0.5 1795338783582`)
	refuses(`runsc_fs_reads{sandbox="idle"} NaN 1795338783582`)
	refuses(`runsc_meta_sandbox_running{sandbox="idle"} x 1795338783582`)
}

func TestRates(t *testing.T) {
	noon := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	at := func(value int64, after time.Duration) reading { return reading{true, value, noon.Add(after)} }
	check := func(before, now reading, want string) {
		t.Helper()
		if got := rateText(now.since(before)); got != want {
			t.Errorf("from %v to %v: %s/s, want %s/s", before, now, got, want)
		}
	}
	check(at(0, 0), at(500, 2*time.Second), "250.0")
	check(at(500, 0), at(500, 2*time.Second), "0.0")
	check(at(1, 0), at(2, time.Millisecond), "1000.0")
	check(at(1, 0), at(2, time.Hour), "0.0")
	check(at(math.MaxInt64-2, 0), at(math.MaxInt64, time.Second), "2.0")

	check(at(500, 0), at(499, time.Second), noValue)           // the counter was reset
	check(at(1, 0), at(2, 0), noValue)                         // no time has passed
	check(at(1, 0), at(2, -time.Second), noValue)              // time went back
	check(reading{}, at(2, 0), noValue)                        // the first value is missing
	check(at(1, 0), reading{}, noValue)                        // the second value is missing
	check(reading{}, reading{}, noValue)                       // both values are missing
	check(reading{known: true, value: 1}, at(2, 0), noValue)   // the first time is missing
	check(at(1, 0), reading{known: true, value: 2}, noValue)   // the second time is missing
	check(reading{known: true}, reading{known: true}, noValue) // both times are missing
}
