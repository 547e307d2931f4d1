package expo

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

func TestGoldenOpenMetrics(t *testing.T) {
	const file = "testdata/page.openmetrics.golden"
	p := started(t, time.UnixMilli(pageTime).Add(-time.Hour+123456789))
	text := string(OpenMetrics{}.Append(nil, p))
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("the page is not that of %s; go test -update writes it anew. It is\n%s", file, text)
	}
}

func TestEmptyOpenMetrics(t *testing.T) {
	if text := string(OpenMetrics{}.Append(nil, nothingOf(new(snapshot.Snapshot)))); text != "# EOF\n" {
		t.Errorf("%q", text)
	}
}

// TestOpenMetricsHeads: the name and type of a family depend on the names of the other families.
func TestOpenMetricsHeads(t *testing.T) {
	check := func(name string, typ schema.Type, want head, others ...string) {
		t.Helper()
		f := page.Family{Name: name, Type: typ}
		p := &page.Page{Families: []page.Family{f}}
		for _, other := range others {
			p.Families = append(p.Families, page.Family{Name: other})
		}
		slices.SortFunc(p.Families, func(a, b page.Family) int { return strings.Compare(a.Name, b.Name) })
		if got := headOf(p, &f); got != want {
			t.Errorf("%s beside %q is %+v, want %+v", name, others, got, want)
		}
	}
	check("a_total", schema.Counter, head{"a", "counter"}, "b")
	check("a", schema.Counter, head{"a", "unknown"})
	check("atotal", schema.Counter, head{"atotal", "unknown"})
	check("_total", schema.Counter, head{"_total", "unknown"})
	check("z_total", schema.Gauge, head{"z_total", "gauge"})
	check("z", schema.Histogram, head{"z", "histogram"})

	// Other families have the name.
	check("A_total", schema.Counter, head{"A_total", "unknown"}, "A", "B")
	check("A_total", schema.Counter, head{"A", "counter"}, "A_total_x", "B")
}

// TestSeconds: times keep their milliseconds when Prometheus parses them.
func TestSeconds(t *testing.T) {
	check := func(ms int64, want string) {
		t.Helper()
		if got := string(appendSeconds(nil, ms)); got != " "+want+"\n" {
			t.Errorf("%d ms is %q, want %s", ms, got, want)
		}
	}
	check(0, "0.000")
	check(1, "0.001")
	check(-1, "-0.001")
	check(999, "0.999")
	check(1000, "1.000")
	check(-1001, "-1.001")
	check(pageTime, "1795338783.582")
	check(math.MaxInt64, "9223372036854775.807")
	check(math.MinInt64, "-9223372036854775.808")
	random := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		ms := 1_700_000_000_000 + random.Int64N(400_000_000_000) // until 2036
		seconds, err := strconv.ParseFloat(strings.TrimSpace(string(appendSeconds(nil, ms))), 64)
		if got := int64(seconds * 1000); err != nil || got != ms {
			t.Fatalf("%d reads back as %d, %v", ms, got, err)
		}
	}
}

func TestCanonicalBounds(t *testing.T) {
	for bound, want := range map[int64]string{
		0: "0.0", 1: "1.0", -5: "-5.0", 100_000: "100000.0", 1_000_000: "1e+06", 1_234_567: "1.234567e+06", math.MaxInt64: "9.223372036854776e+18",
	} {
		if got := string(appendCanonical(nil, bound, 1)); got != want {
			t.Errorf("%d is %s, want %s", bound, got, want)
		}
	}
}

// FuzzOpenMetrics: any texts and numbers in labels and HELP lines survive a round trip, and cannot
// forge lines.
func FuzzOpenMetrics(f *testing.F) {
	fuzz(f, func(p *page.Page) ([]parsedFamily, error) {
		return parseOpenMetrics(string(OpenMetrics{}.Append(nil, p)))
	})
}

// parseOpenMetrics parses a page without counters. Such a page differs from the text format only in
// its end, in times, and in quotes in HELP lines.
func parseOpenMetrics(page string) ([]parsedFamily, error) {
	page, isWhole := strings.CutSuffix(page, "# EOF\n")
	if !isWhole {
		return nil, errors.New("the page has no end")
	}
	var text strings.Builder
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "# HELP ") {
			if strings.Contains(strings.NewReplacer(`\\`, "", `\"`, "").Replace(line), `"`) {
				return nil, fmt.Errorf("a quote is not escaped: %q", line)
			}
			line = strings.ReplaceAll(line, `\"`, `"`)
		} else if point := len(line) - len(".000\n"); !strings.HasPrefix(line, "#") {
			if point < 0 || line[point] != '.' {
				return nil, fmt.Errorf("no time in seconds: %q", line)
			}
			line = line[:point] + line[point+1:]
		}
		text.WriteString(line)
	}
	return parsePage(text.String())
}
