package web

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

func TestTimeLimit(t *testing.T) {
	check := func(header string, want time.Duration) {
		t.Helper()
		if got := timeLimit(header); got != want {
			t.Errorf("timeLimit(%q) = %v, want %v", header, got, want)
		}
	}
	const ms = time.Millisecond

	// Half a second less than the scraper's timeout, or half the timeout if it is less than one
	// second.
	check("10", 9500*ms)
	check("60", 59500*ms)
	check("1.5", 1000*ms)
	check("1", 500*ms)
	check("0.8", 400*ms)
	check("0.01", 5*ms)
	check("1e1", 9500*ms)
	check("1e-12", 0)

	// Invalid values count as missing.
	const unsaid = 9 * time.Second
	check("", unsaid)
	check("0", unsaid)
	check("-1", unsaid)
	check("60.001", unsaid)
	check("1e300", unsaid)
	check("inf", unsaid)
	check("-Inf", unsaid)
	check("NaN", unsaid)
	check("10s", unsaid)
	check(" 10", unsaid)
	check("10, 20", unsaid)
	check("ten", unsaid)
	check("5e-324", 0)
	check(strings.Repeat("9", 1000), unsaid)
}

func TestPage(t *testing.T) {
	w := newWorld(t, nil)
	w.start(simulate.Spec{ID: "a"})
	response := w.get("/metrics")
	if response.Code != http.StatusOK || response.Header().Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("%d %v", response.Code, response.Header())
	}
	if got, want := response.Header().Get("Content-Length"), strconv.Itoa(response.Body.Len()); got != want {
		t.Errorf("Content-Length is %q, want %s", got, want)
	}
	if got := response.Body.String(); !strings.HasPrefix(got, "# HELP process_start_time_seconds ") || !strings.HasSuffix(got, "\n") {
		t.Errorf("the page is\n%s", got)
	}
}

func TestFilters(t *testing.T) {
	w := newWorld(t, nil)
	w.start(simulate.Spec{ID: "a", Root: simulate.Container{Capabilities: &simulate.Capabilities{
		Effective: []string{"CAP_NET_RAW", "CAP_KILL"}}}})
	all := familiesOf(w.page("/metrics"))
	both := []string{"KILL", "NET_RAW"}
	check := func(query string, wantFamilies, wantCapabilities []string) {
		t.Helper()
		for _, path := range []string{"/metrics?", "/metrics%3F", "/metrics%3f"} {
			page := w.page(path + query)
			if got := familiesOf(page); !slices.Equal(got, wantFamilies) {
				t.Errorf("%s%s leaves families %q, want %q", path, query, got, wantFamilies)
			}
			if got := capabilities(page); !slices.Equal(got, wantCapabilities) {
				t.Errorf("%s%s leaves capabilities %q, want %q", path, query, got, wantCapabilities)
			}
		}
	}
	files := []string{"fs_opens", "fs_reads"}
	check("", all, both)
	check("another=1", all, both)
	check("runsc-sandbox-metrics-filter=", all, both)
	check("runsc-capability-filter=", all, both)
	check("runsc-sandbox-metrics-filter=%5Efs_", files, both)
	check("runsc-sandbox-metrics-filter=fs_.*", files, both)
	check("runsc-sandbox-metrics-filter=opens$", []string{"fs_opens"}, both)
	// The filter applies to the name without the prefix.
	check("runsc-sandbox-metrics-filter=runsc_fs_opens", nil, both)
	check("runsc-capability-filter=NET", all, []string{"NET_RAW"})
	check("runsc-capability-filter=%5ECAP_NET", all, []string{"NET_RAW"})
	check("runsc-capability-filter=%5EKILL$", all, []string{"KILL"})
	check("runsc-capability-filter=none", all, nil)
	check("runsc-sandbox-metrics-filter=%5Efs_&runsc-capability-filter=KILL", files, []string{"KILL"})
	// Only the first filter counts.
	check("runsc-sandbox-metrics-filter=%5Efs_&runsc-sandbox-metrics-filter=gofer", files, both)
	check("runsc-sandbox-metrics-filter="+strings.Repeat("x", 4096), nil, both)
	check("runsc-sandbox-metrics-filter=^("+strings.Repeat("gofer_opens_host|", 200)+"fs_opens)$", []string{"fs_opens", "gofer_opens_host"}, both)
	check("runsc-sandbox-metrics-filter=^f.{1,9}s$", []string{"fs_opens", "fs_reads"}, both)
	check("", all, both) // no filter carries over
}

func TestRefusedQueries(t *testing.T) {
	w := newWorld(t, nil)
	check := func(query, want string) {
		t.Helper()
		for _, path := range []string{"/metrics?", "/metrics%3F"} {
			w.expect(w.get(path+query), http.StatusBadRequest, want+"\n")
		}
	}
	const invalid = " filter is not a valid regular expression: error parsing regexp: "
	check("runsc-sandbox-metrics-filter=(", "provided metric"+invalid+"missing closing ): `(`")
	check("runsc-capability-filter=[", "provided capability"+invalid+"missing closing ]: `[`")
	check("runsc-sandbox-metrics-filter=(&runsc-capability-filter=[", "provided metric"+invalid+"missing closing ): `(`")
	check("runsc-sandbox-metrics-filter=(%3F=x)", "provided metric"+invalid+"invalid or unsupported Perl syntax: `(?=`")
	check("runsc-sandbox-metrics-filter="+strings.Repeat("x", 4097), "provided metric filter is refused: longer than 4096 bytes")
	check("runsc-capability-filter="+strings.Repeat("(", 4097), "provided capability filter is refused: longer than 4096 bytes")

	w.expect(w.get("/metrics?%zz"), http.StatusBadRequest, "the query cannot be read: invalid URL escape \"%zz\"\n")
	w.expect(w.get("/metrics?runsc-sandbox-metrics-filter=%FF"), http.StatusBadRequest, "provided metric filter is not a valid regular expression: error parsing regexp: invalid UTF-8: `\xff`\n")
	w.expect(w.get("/metrics?a;b"), http.StatusBadRequest, "the query cannot be read: invalid semicolon separator in query\n")
	w.expect(w.get("/metrics%3F%25zz"), http.StatusBadRequest, "the query in the path cannot be read: invalid URL escape \"%zz\"\n")
	w.expect(w.get("/metric%3Fa=b"), http.StatusNotFound, "path not found\n")
	w.expect(w.get("/metrics/%3Fa=b"), http.StatusNotFound, "path not found\n")
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
	check("/metrics", tcp, `level=DEBUG msg=Scrape client=127.0.0.1:1234 filter="" FORMAT status=200 bytes=LENGTH took=T`)
	check("/metrics", unix, `level=DEBUG msg=Scrape client="Unix socket" filter="" FORMAT status=200 bytes=LENGTH took=T`)
	check("/metrics?runsc-sandbox-metrics-filter=%5Efs_&runsc-capability-filter=KILL", tcp,
		`level=DEBUG msg=Scrape client=127.0.0.1:1234 filter=^fs_ capability_filter=KILL FORMAT status=200 bytes=LENGTH took=T`)
	check("/metrics%3Frunsc-sandbox-metrics-filter=a%0Ab", tcp, `level=DEBUG msg=Scrape client=127.0.0.1:1234 filter="a\nb" FORMAT status=200 bytes=LENGTH took=T`)
	check("/metrics?runsc-sandbox-metrics-filter=(", tcp, `level=DEBUG msg=Scrape client=127.0.0.1:1234 filter=( status=400 bytes=0 took=T`)
	check("/metrics?runsc-sandbox-metrics-filter="+strings.Repeat("x", 5000), tcp,
		`level=DEBUG msg=Scrape client=127.0.0.1:1234 filter=`+strings.Repeat("x", maxLoggedText)+` status=400 bytes=0 took=T`)
	check("/metrics?%zz", tcp, `level=DEBUG msg=Scrape client=127.0.0.1:1234 filter="" status=400 bytes=0 took=T`)
	check("/runsc-metrics/pid", tcp, "")
}

// panicHandler is a log handler that panics while it is armed. It simulates a defect in the middle
// of a collection.
type panicHandler struct {
	slog.Handler
	armed *atomic.Bool
}

func (h panicHandler) Handle(ctx context.Context, r slog.Record) error {
	if h.armed.Load() {
		panic("a secret defect")
	}
	return h.Handler.Handle(ctx, r)
}

// TestPanicInACollection checks that a panic fails only this scrape.
func TestPanicInACollection(t *testing.T) {
	var armed atomic.Bool
	w := newWorld(t, func(c *collect.Options, _ *Options) {
		c.Logger = slog.New(panicHandler{slog.NewTextHandler(io.Discard, nil), &armed})
	})
	fine := w.start(simulate.Spec{ID: "fine"})
	w.page("/metrics")
	w.start(simulate.Spec{ID: "logged", PID: os.Getppid()})
	armed.Store(true)
	for range 2 {
		w.expect(w.get("/metrics"), http.StatusInternalServerError, "the request failed; see the server's log\n")
	}
	if log := w.log.String(); strings.Count(log, "panic: a secret defect") != 2 || strings.Count(log, "\n") != 2 {
		t.Errorf("the log says\n%s", log)
	}
	armed.Store(false)
	if page := w.page("/metrics"); !strings.Contains(page, `sandbox="`+fine.ID()+`"`) {
		t.Errorf("afterwards the page is\n%s", page)
	}
}
