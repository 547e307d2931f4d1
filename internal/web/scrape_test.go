package web

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

func TestTimeLimit(t *testing.T) {
	check := func(want time.Duration, headers ...string) {
		t.Helper()
		for _, header := range headers {
			if got := timeLimit(header); got != want {
				t.Errorf("timeLimit(%q) = %v, want %v", header, got, want)
			}
		}
	}
	// Half a second less than the scraper's timeout, or half the timeout if it is less than one
	// second.
	check(9500*time.Millisecond, "10", "1e1")
	check(59500*time.Millisecond, "60")
	check(time.Second, "1.5")
	check(500*time.Millisecond, "1")
	check(5*time.Millisecond, "0.01")
	check(0, "1e-12", "5e-324")
	// Invalid values count as missing.
	check(9*time.Second, "", "0", "-1", "60.001", "1e300", "inf", "-Inf", "NaN", "10s", " 10", "10, 20", "ten", strings.Repeat("9", 1000))
}

// TestFilters checks which families and capabilities are left, with the query behind the path or in it.
func TestFilters(t *testing.T) {
	w := newWorld(t, nil)
	w.start(simulate.Spec{ID: "a", Root: simulate.Container{Capabilities: &simulate.Capabilities{
		Effective: []string{"CAP_NET_RAW", "CAP_KILL"}}}})
	const all, both = 8, "KILL NET_RAW"
	check := func(query string, wantFamilies int, wantCapabilities string) {
		t.Helper()
		for _, path := range []string{"/metrics?", "/metrics%3F", "/metrics%3f"} {
			page := w.page(path + query)
			families := strings.Count(page, "\n# TYPE runsc_") - strings.Count(page, "\n# TYPE runsc_meta_")
			capabilities := strings.Join(labelsOf(page, "runsc_meta_sandbox_capabilities", "capability"), " ")
			if families != wantFamilies || capabilities != wantCapabilities {
				t.Errorf("%s%s leaves %d families and %q, want %d and %q", path, query, families, capabilities, wantFamilies, wantCapabilities)
			}
		}
	}
	check("another=1", all, both)
	check("runsc-sandbox-metrics-filter=&runsc-capability-filter=", all, both)
	check("runsc-sandbox-metrics-filter=%5Efs_", 2, both)
	check("runsc-sandbox-metrics-filter=runsc_fs_opens", 0, both) // the name has no prefix
	check("runsc-capability-filter=%5ECAP_NET", all, "NET_RAW")
	check("runsc-sandbox-metrics-filter=opens$&runsc-capability-filter=KILL", 1, "KILL")
	check("runsc-sandbox-metrics-filter=opens$&runsc-sandbox-metrics-filter=fs", 1, both) // only the first filter counts
	check("", all, both)
}

func TestRefusedQueries(t *testing.T) {
	w := newWorld(t, nil)
	check := func(query string, status int, want string) {
		t.Helper()
		w.expect(w.get("/metrics"+query), status, want+"\n")
	}
	const invalid = " filter is not a valid regular expression: error parsing regexp: "
	check("?runsc-sandbox-metrics-filter=(", http.StatusBadRequest, "provided metric"+invalid+"missing closing ): `(`")
	check("%3Frunsc-capability-filter=[", http.StatusBadRequest, "provided capability"+invalid+"missing closing ]: `[`")
	check("?runsc-sandbox-metrics-filter=%FF", http.StatusBadRequest, "provided metric"+invalid+"invalid UTF-8: `\xff`")
	check("?runsc-capability-filter="+strings.Repeat("x", 4097), http.StatusBadRequest, "provided capability filter is refused: longer than 4096 bytes")
	check("?%zz", http.StatusBadRequest, `the query cannot be read: invalid URL escape "%zz"`)
	check("?a;b", http.StatusBadRequest, "the query cannot be read: invalid semicolon separator in query")
	check("%3F%25zz", http.StatusBadRequest, `the query in the path cannot be read: invalid URL escape "%zz"`)
	check("/%3Fa=b", http.StatusNotFound, "path not found")
}

// TestScrapesAreLogged checks that scrapes are logged at debug level with their client, their
// filters, their format and their result.
func TestScrapesAreLogged(t *testing.T) {
	var log testkit.Buffer
	w := newWorld(t, func(_ *collect.Options, o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	w.start(simulate.Spec{ID: "a"})
	logged := 0
	check := func(path, client, want string) {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.RemoteAddr = client
		response := w.do(r)
		want = strings.ReplaceAll(want, "FORMAT", `format="text/plain; version=0.0.4; charset=utf-8"`)
		want = strings.ReplaceAll(want, "LENGTH", strconv.Itoa(response.Body.Len()))
		line := log.String()[logged:]
		logged += len(line)
		_, record, _ := strings.Cut(line, " ")
		if got := regexp.MustCompile(`took=[0-9.]+(µs|ms|s)\n`).ReplaceAllString(record, "took=T"); got != want {
			t.Errorf("GET %s is logged as\n%s\nwant\n%s", path, got, want)
		}
	}
	const tcp, unix = "127.0.0.1:1234", "@"
	check("/metrics", tcp, `level=DEBUG msg=Scrape client=127.0.0.1:1234 filter="" capability_filter="" FORMAT status=200 bytes=LENGTH took=T`)
	check("/metrics", unix, `level=DEBUG msg=Scrape client="Unix socket" filter="" capability_filter="" FORMAT status=200 bytes=LENGTH took=T`)
	check("/metrics?runsc-sandbox-metrics-filter=%5Efs_&runsc-capability-filter=KILL", tcp,
		`level=DEBUG msg=Scrape client=127.0.0.1:1234 filter=^fs_ capability_filter=KILL FORMAT status=200 bytes=LENGTH took=T`)
	check("/metrics%3Frunsc-sandbox-metrics-filter=a%0Ab", tcp, `level=DEBUG msg=Scrape client=127.0.0.1:1234 filter="a\nb" capability_filter="" FORMAT status=200 bytes=LENGTH took=T`)
	check("/metrics?runsc-sandbox-metrics-filter=(", tcp, `level=DEBUG msg=Scrape client=127.0.0.1:1234 filter=( capability_filter="" format="" status=400 bytes=0 took=T`)
	check("/metrics?runsc-sandbox-metrics-filter="+strings.Repeat("x", 5000), tcp,
		`level=DEBUG msg=Scrape client=127.0.0.1:1234 filter=`+strings.Repeat("x", maxLoggedText)+` capability_filter="" format="" status=400 bytes=0 took=T`)
	check("/metrics?%zz", tcp, `level=DEBUG msg=Scrape client=127.0.0.1:1234 filter="" capability_filter="" format="" status=400 bytes=0 took=T`)
	check("/runsc-metrics/pid", tcp, "")
}
