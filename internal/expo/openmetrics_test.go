package expo

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/schema"
)

func TestGoldenOpenMetrics(t *testing.T) {
	p := started(t, time.UnixMilli(pageTime).Add(-time.Hour+123456789))
	wantGolden(t, "testdata/page.openmetrics.golden", string(OpenMetrics{}.Append(nil, p)))
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
	check(-1, "-0.001")
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
