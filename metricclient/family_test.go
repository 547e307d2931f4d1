package metricclient

import (
	"errors"
	"testing"
)

func TestFamily(t *testing.T) {
	f := func(page, metric string, want Family) {
		t.Helper()
		if got, err := MetricData(page).Family(metric); got != want || err != nil {
			t.Errorf("%s of %q: got %+v and error %v, want %+v", metric, page, got, err, want)
		}
	}
	page := string(recorded(t))
	f(page, "runsc_fs_opens", Family{"runsc_fs_opens", "Number of file opens.", "counter"})
	f(page, "process_start_time_seconds", Family{"process_start_time_seconds", "Start time of the process since unix epoch in seconds.", "gauge"})

	// Help and type that are not on the page.
	f("m 1\n", "m", Family{"m", "", "untyped"})
	f("# HELP m\n", "m", Family{"m", "", "untyped"})

	f("# HELP m  a \\\\ \\\"b\\\"\\nc \n", "m", Family{"m", "a \\ \"b\"\nc ", "untyped"})
	f("m 1\n \t#\tTYPE \t m \t gauge \t\n#HELP m é\n", "m", Family{"m", "é", "gauge"})
	f("# HELP mm x\n# TYPE mm gauge\n# TYPE\n# m\n# TYPED m gauge\nm 1\n", "m", Family{"m", "", "untyped"})
	f("# TYPE x nonsense\n# HELP x \\t\n# TYPE m gauge\n", "m", Family{"m", "", "gauge"})

	// A part belongs to the whole, unless a family with its exact name exists.
	const histogram = "# HELP h H.\n# TYPE h histogram\n"
	for _, part := range []string{"h", "h_bucket", "h_sum", "h_count"} {
		f(histogram, part, Family{"h", "H.", "histogram"})
	}
	f(histogram+"# TYPE h_count gauge\n", "h_count", Family{"h_count", "", "gauge"})
	f("# TYPE s summary\n", "s_count", Family{"s", "", "summary"})
	f("# TYPE s summary\ns_bucket 1\n", "s_bucket", Family{"s_bucket", "", "untyped"})

	fails := func(page, metric string, is error, texts ...string) {
		t.Helper()
		got, err := MetricData(page).Family(metric)
		wantError(t, err, is, append(texts, "family of ")...)
		if got != (Family{}) || errors.Is(err, ErrNoSample) != (is != nil) {
			t.Errorf("%s of %q: got %+v and error %v", metric, page, got, err)
		}
	}
	fails(page, "runsc_fs", ErrNoMetric)
	fails("m_count 1\n", "m", ErrNoMetric)
	fails("", "\x1b[31m\n", ErrNoMetric)
	fails("# TYPE m nonsense\n", "m", nil, "malformed line: an unknown type: # TYPE m nonsense")
	fails("# HELP m \\\n", "m", nil, "malformed line: a backslash at the end")
	fails("# HELP m \xff\n", "m", nil, "not UTF-8")
	fails("# TYPE m gauge\n# TYPE m gauge\n", "m", nil, "a second TYPE line")
	fails("# HELP m a\nm 1\n# HELP m b\n", "m", nil, "a second HELP line: # HELP m b")
}

// TestNoSampleOrNoMetric checks that a page has some data about a counter that is zero in one
// sandbox, but none about a counter that is zero in all.
func TestNoSampleOrNoMetric(t *testing.T) {
	f := func(page, metric string, known bool) {
		t.Helper()
		_, _, err := MetricData(page).GetPrometheusContainerInteger(WantMetric{Metric: metric, Sandbox: "a"})
		if !errors.Is(err, ErrNoSample) || errors.Is(err, ErrNoMetric) == known {
			t.Errorf("%s of %q: %v", metric, page, err)
		}
	}
	f("m{sandbox=\"b\"} 1\n", "m", true)
	f("# TYPE m counter\n", "m", true)
	f("# TYPE h histogram\nh_count{sandbox=\"b\"} 1\n", "h_count", true)
	f("# TYPE s summary\n", "s_count", true)
	f("", "m", false)
	f("# m\n# HELP m Nothing more.\n", "m", false)
	f("# TYPE s summary\n", "s_bucket", false)
	f("m_count{sandbox=\"b\"} 1\n", "m", false)
}

func TestLookupsReadTheTypeOfTheirMetric(t *testing.T) {
	f := func(page string, texts ...string) {
		t.Helper()
		_, _, err := MetricData(page+"\nm 1\nm_sum 1\n").GetPrometheusInteger("m", nil)
		if len(texts) == 0 && err != nil {
			t.Errorf("%q: %v", page, err)
		}
		if len(texts) > 0 {
			wantError(t, err, nil, texts...)
		}
	}
	f("#TYPE m gauge")
	f("# TYPE m", "an unknown type")
	f("# TYPE x nonsense")
	f("# TYPE m_sum histogram")
	f("#TYPE m histogram", "it is a histogram")
	f("\t#\tTYPE\tm\tsummary\t", "it is a summary")
	f("# TYPE m gauge\r", "an unknown type")
}
