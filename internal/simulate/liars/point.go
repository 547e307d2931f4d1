package liars

import (
	"fmt"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

// pointLiars send well-formed points that differ from the registration, and replies that contradict
// themselves.
func pointLiars() []Liar {
	swap := func(name, describe, old, new string) Liar { return does(name, describe, simulate.Replace(old, new)) }
	add := func(name, describe string, point string) Liar {
		return does(name, describe, simulate.Replace(`"data":[`, `"data":[`+point+","))
	}
	named := func(name string) string { return strings.Replace(opens, "fs_opens", name, 1) }
	const openMetric = `{"metric":{"name":"fs_opens","type":2,"help":"Number of file opens."}`
	return []Liar{
		add("name-unknown", "has a metric that it did not register", named("fs_opens_total")),
		add("name-meta", "has a metric of the server's", named("meta_sandbox_running")),
		add("name-reserved", "has a metric of the process's", named("process_start_time_seconds")),
		add("name-prefixed", "has its metric with the server's prefix", named("runsc_fs_opens")),
		add("name-long", "has a metric with a name of 1 MB", named(strings.Repeat("a", 1<<20))),
		add("name-of-lines", "has a metric whose name forges a line", named(`fs_opens 1\nrunsc_fs_opens{sandbox=\"other\"} 7\n`)),
		swap("type-other", "calls a counter a gauge", `"fs_opens","type":2`, `"fs_opens","type":1`),
		swap("type-unknown", "has an unknown type", `"fs_opens","type":2`, `"fs_opens","type":4`),
		swap("help-other", "has another help text than registered", "Number of file opens.", "Number of file closes."),
		swap("help-of-lines", "has a help text that forges a line", "Number of file opens.", `Number\nrunsc_fs_opens{sandbox=\"other\"} 7\n`),

		swap("labels-empty", "leaves out all labels", `{"sysno":"334"}`, "{}"),
		swap("label-added", "adds a label", `{"sysno":"334"}`, `{"sysno":"334","more":"1"}`),
		swap("label-renamed", "has another name for a label", `{"sysno":"334"}`, `{"syscall":"334"}`),
		swap("label-sandbox", "adds a label of the server's", `{"sysno":"334"}`, `{"sysno":"334","sandbox":"other"}`),
		swap("label-not-allowed", "has a label value that is not allowed", `{"sysno":"334"}`, `{"sysno":"99999"}`),
		swap("label-almost-allowed", "has a label value that is allowed but for its spelling", `{"sysno":"334"}`, `{"sysno":"0334"}`),
		swap("label-long", "has a label value of 1 MB", `{"sysno":"334"}`, `{"sysno":"`+strings.Repeat("3", 1<<20)+`"}`),
		swap("label-of-lines", "has a label value that forges a line", `{"sysno":"334"}`, `{"sysno":"\"} 1\nrunsc_fs_opens{sandbox=\"other"}`),
		swap("label-where-none", "labels a metric that has no fields", `"Number of file opens."}`, `"Number of file opens."},"labels":{"a":"b"}`),
		swap("external-labels", "adds labels in a field that gVisor's server renders without a check",
			opensHead, `{"external_labels":{"sandbox":"other","iteration":"1"},"metric":{"name":"fs_opens"`),

		add("twice-same", "has a series twice, with one value", opens),
		add("twice-other", "has a series twice, with two values", strings.Replace(opens, "51", "52", 1)),
		does("many-points", "has 10 MB of one series", simulate.Flood(frame+opens, ","+opens, 10<<20, "]}}}")),
		swap("val-and-histogram", "has a counter with a histogram too", opens,
			openMetric+`,"val":{"int":51},"histogram":{"total":{},"min":{},"max":{},"ssd":{},"buckets":[{"le":{},"n":1}]}}`),
		swap("histogram-for-val", "has a histogram where a counter belongs", opens,
			openMetric+`,"histogram":{"total":{},"min":{},"max":{},"ssd":{},"buckets":[{"le":{},"n":1}]}}`),

		swap("success-with-error", "succeeds with an error", `"err":""`, `"err":"out of order"`),
		swap("error-with-result", "fails with a result", `"success":true,"err":""`, `"success":false,"err":"out of order"`),
		swap("error-without-text", "fails with a result and no error", `"success":true`, `"success":false`),
		does("error-long", "fails with a reason of 1 MB", simulate.Say(`{"success":false,"err":"`+strings.Repeat("oh ", 1<<20/3)+`","result":null}`)),
	}
}

// timeLiars send impossible timestamps.
func timeLiars() []Liar {
	when := func(name, describe string, value func(x *simulate.Exchange) string) Liar {
		return does(name, describe, simulate.Edit(func(x *simulate.Exchange, reply string) string {
			return editField(reply, "", `"when":`, func(key, _ string) string { return key + value(x) })
		}))
	}
	after := func(d time.Duration) func(*simulate.Exchange) string {
		return func(*simulate.Exchange) string { return quote(time.Now().UTC().Add(d).Format(time.RFC3339Nano)) }
	}
	liars := []Liar{
		when("when-future", "is an hour ahead", after(time.Hour)),
		when("when-near-future", "is 2 s ahead", after(2*time.Second)),
		when("when-past", "is an hour behind", after(-time.Hour)),
		when("when-stale", "is 11 s behind", after(-11*time.Second)),
		when("when-goes-back", "is 5 s behind at every second snapshot", func(x *simulate.Exchange) string {
			return after(time.Duration(-5*(1-x.N%2)) * time.Second)(x)
		}),
	}
	for _, text := range []string{
		"", "now", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "10000-01-01T00:00:00Z", "2026-02-30T00:00:00Z",
		"2026-11-22T23:59:60Z", "2026-11-22 09:14:59Z", "2026-11-22T09:14:59", "1795338926",
	} {
		liars = append(liars, when("when="+text, fmt.Sprintf("took its snapshot at %q", text),
			func(*simulate.Exchange) string { return quote(text) }))
	}
	return liars
}

// historyLiars contradict their earlier replies. Their first reply is honest.
func historyLiars() []Liar {
	later := func(old, new string) simulate.Behavior {
		return simulate.Edit(func(x *simulate.Exchange, reply string) string {
			if x.N > 1 {
				reply = strings.Replace(reply, old, new, 1)
			}
			return reply
		})
	}
	return []Liar{
		does("counter-goes-back", "has a counter that falls by one", later(`"int":51`, `"int":50`)),
		does("counter-goes-away", "leaves a counter out that it had", simulate.Edit(func(x *simulate.Exchange, reply string) string {
			if x.N == 1 {
				return reply
			}
			// Points have a random order, so this one may be the last.
			return strings.NewReplacer(opens+",", "", ","+opens, "").Replace(reply)
		})),
		does("labelled-counter-goes-back", "has a counter with a label that falls", later(`{"sysno":"334"},"val":{"int":6}`, `{"sysno":"334"},"val":{"int":5}`)),
		does("counter-goes-to-zero", "has a counter that falls to zero", later(`"val":{"int":51}`, `"val":{}`)),
		does("counter-swings", "has a counter that falls at every second snapshot", simulate.Edit(func(x *simulate.Exchange, reply string) string {
			return strings.Replace(reply, `"int":51`, fmt.Sprintf(`"int":%d`, 51+x.N%2), 1)
		})),
		does("honest-once", "replies once, and then never", func(x *simulate.Exchange) error {
			if x.N > 1 {
				return x.Stall()
			}
			return simulate.Honest(x)
		}),
	}
}

// histogramLiars send an invalid histogram.
func histogramLiars() []Liar {
	const honest = `{"total":{"int":111},"min":{"int":1},"max":{"int":100},"ssd":{"float":2.5},` +
		`"buckets":[{"le":{"int":1},"n":1},{"le":{"int":10},"n":2},{"le":{"int":100},"n":3},{"le":{},"n":4}]}`
	lie := func(name, describe, old, new string, from int) Liar {
		return is("histogram-"+name, describe, func(s *simulate.Spec) {
			s.Registration, s.Points = simulate.WithDistribution()
			s.Behavior = simulate.Edit(func(x *simulate.Exchange, reply string) string {
				if x.N >= from {
					reply = strings.Replace(reply, old, new, 1)
				}
				return reply
			})
		})
	}
	return []Liar{
		lie("bound-other", "has a bucket with another bound", `{"le":{"int":10},"n":2}`, `{"le":{"int":11},"n":2}`, 1),
		lie("bucket-missing", "has a bucket too few", `{"le":{"int":10},"n":2},`, "", 1),
		lie("bucket-added", "has a bucket too many", `{"le":{},"n":4}`, `{"le":{},"n":4},{"le":{},"n":5}`, 1),
		lie("buckets-missing", "has no buckets", honest, `{"total":{},"min":{},"max":{},"ssd":{}}`, 1),
		lie("buckets-swapped", "has buckets out of order", `{"le":{"int":1},"n":1},{"le":{"int":10},"n":2}`, `{"le":{"int":10},"n":2},{"le":{"int":1},"n":1}`, 1),
		lie("count-negative", "has a bucket with fewer than no samples", `"n":2`, `"n":-2`, 1),
		lie("count-overflows", "has more samples than can be counted", `"n":2`, `"n":18446744073709551615`, 1),
		lie("count-too-large", "has a count beyond 64 bits", `"n":2`, `"n":18446744073709551616`, 1),
		lie("ssd-negative", "has a negative sum of squares", `2.5`, `-2.5`, 1),
		lie("ssd-nan", "has no number for a sum of squares", `2.5`, `NaN`, 1),
		lie("val-for-histogram", "has a number where a histogram belongs", `"histogram":`+honest, `"val":{"int":10}`, 1),
		lie("and-val", "has a histogram with a number too", `"histogram":`, `"val":{"int":10},"histogram":`, 1),
		lie("null", "has null for a histogram", honest, "null", 1),
		lie("count-goes-back", "has a bucket that falls", `"n":2`, `"n":1`, 2),
		lie("ssd-goes-back", "has a sum of squares that falls", `2.5`, `2.25`, 2),
		lie("min-rises", "has a least sample that rises", `"min":{"int":1}`, `"min":{"int":2}`, 2),
		lie("max-falls", "has a greatest sample that falls", `"max":{"int":100}`, `"max":{"int":99}`, 2),
		lie("goes-away", "leaves a histogram out that it had", `"n":1},{"le":{"int":10},"n":2},{"le":{"int":100},"n":3},{"le":{},"n":4}`, `},{"le":{"int":10}},{"le":{"int":100}},{"le":{}}`, 2),
	}
}
