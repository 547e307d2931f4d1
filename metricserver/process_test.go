package metricserver

import (
	"regexp"
	"strings"
	"testing"
)

// TestProcessMetrics: process_start_time_seconds is there once, with the other families about the
// process and without.
func TestProcessMetrics(t *testing.T) {
	w := newWorld(t)
	check := func(o Options, goroutines, build bool) {
		t.Helper()
		o.Addresses = []string{w.path("socket")}
		r := w.run(w.server(o))
		defer func() { w.must(r.stop()) }()
		page := r.page()
		if n := strings.Count(page, "\nprocess_start_time_seconds "); n != 1 {
			t.Errorf("process_start_time_seconds is there %d times", n)
		}
		if got := strings.Contains(page, "\ngo_goroutines "); got != goroutines {
			t.Errorf("go_goroutines is there: %t", got)
		}
		if got := regexp.MustCompile(`(?m)^sandmeter_build_info\{goarch="\w+",goos="linux",goversion="go1.*",version="v1"\} 1$`).MatchString(page); got != build {
			t.Errorf("sandmeter_build_info is there: %t\n%s", got, page)
		}
	}
	check(Options{Version: "v1"}, false, true)
	check(Options{Version: "v1", ProcessMetrics: true}, true, true)
	check(Options{Version: "v1", ProcessMetrics: true, DropIn: true}, false, false)
}
