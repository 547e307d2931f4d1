package e2e

// The fuzz target of this file is not in internal/expo, because it needs Prometheus's parsers,
// which are no dependency of the product. make fuzz runs it too.

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/families"
	pagepkg "github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// fuzzTime is the time of all snapshots in fuzz targets.
var fuzzTime = time.Date(2026, 11, 22, 9, 14, 59, 112779000, time.UTC)

const fuzzWhen = `"when":"2026-11-22T09:14:59.112779Z"`

// FuzzHonestReplyReadsBack puts generated texts and numbers into an honest registration and reply.
func FuzzHonestReplyReadsBack(f *testing.F) {
	f.Add("Number of file opens.", "ok", "failed", "web-1", "shop", "platform", "systrap", int64(51), 2.5, 0.5)
	f.Add("", "", "\x00", "\x00", "\xff", "a", "\xed\xa0\x80", int64(0), 0.0, 0.0)
	f.Add(" \\n\\ \"\r\n# TYPE x gauge\n\x00\u2028", "\"} 1\nrunsc_x{a=\"", "\\", "\"\\\n\r", "\t", "_9", "\ufffe\x1b[31m", int64(math.MaxInt64), -1e308, 5e-324)
	f.Fuzz(func(t *testing.T, help, value, other, pod, namespace, key, metadata string, n int64, total, ssd float64) {
		honest := n >= 0 && ssd >= 0 && value != other
		for _, number := range []float64{total, ssd} {
			honest = honest && !math.IsNaN(number) && !math.IsInf(number, 0)
		}
		for _, text := range []string{help, value, other} {
			honest = honest && utf8.ValidString(text) && len(text) <= schema.MaxText
		}
		if !honest {
			return
		}
		s, err := schema.Compile(fuzzRegistration(help, value, other))
		if err != nil {
			t.Fatal(err)
		}
		reply := fuzzReply(help, value, other, n, total, ssd)
		b, err := new(verify.Verifier).Export(control.NewReply(reply), s, verify.Baseline{}, fuzzTime)
		if err != nil {
			t.Fatalf("an honest reply: %v\n%s", err, reply)
		}
		if got := len(b.Samples); got != 4 {
			t.Fatalf("%d samples of a reply of 4", got)
		}
		checkReadsBack(t, s, &b, pod, namespace, key, metadata)
	})
}

// checkReadsBack renders a reply, with a label of the metadata, and reads the page with
// Prometheus's parsers.
func checkReadsBack(t *testing.T, s *schema.Schema, b *verify.Baseline, pod, namespace, key, metadata string) {
	t.Helper()
	extra := []snapshot.Label{}
	if snapshot.FreeLabelName(key) {
		extra = append(extra, snapshot.Label{Name: key, Value: metadata})
	}
	l := &snapshot.Labels{Iteration: "33sp8vo18t24b", Namespace: namespace, Pod: pod, Sandbox: "sb"}
	page := pagepkg.NewBuilder(pagepkg.Options{Prefix: "runsc_", Naming: pagepkg.RunscNaming, Timestamps: true,
		Families: families.Options{DropIn: true}, Series: withoutOthers(t)}).Build(&snapshot.Snapshot{
		Time: fuzzTime,
		Sandboxes: []snapshot.Sandbox{{
			Identity: &snapshot.Identity{Labels: l, Spec: &snapshot.Spec{Metadata: []snapshot.Pair{{Name: key, Value: metadata}}}},
			Phase:    snapshot.Running,
			Reported: snapshot.Source{Labels: l, Schema: s, Time: b.When.UnixMilli(), Start: fuzzTime.Add(-time.Hour).UnixNano(), Samples: b.Samples, Histograms: b.Histograms},
		}},
	}, pagepkg.Selection{})
	want := wantReadBack(t, s, b, map[string]string{"iteration": "33sp8vo18t24b", "namespace_name": namespace, "pod_name": pod, "sandbox": "sb"}, extra)
	checkFormats(t, page, want)
}

// withoutOthers returns a rule that leaves out the server's own families, except for the metadata.
func withoutOthers(t *testing.T) *pagepkg.SeriesRules {
	t.Helper()
	rules := pagepkg.NewSeriesRules(nil, []string{"process_.*", "runsc_meta_(metric|num|spec)_.*", "runsc_meta_sandbox_[^m].*"})
	return rules
}

// compare fails the test if a page reads back as something else than its source.
func (r readBack) compare(t *testing.T, want readBack, parser string, page []byte) {
	t.Helper()
	for series, value := range want.values {
		got, ok := r.values[series]
		if !ok || !sameNumber(got, value) || r.times[series] != want.times[series] {
			t.Errorf("%s reads %s as %v at %d (there: %t), want %v at %d", parser, series, got, r.times[series], ok, value, want.times[series])
		}
	}
	for series := range r.values {
		if _, ok := want.values[series]; !ok {
			t.Errorf("%s reads %s, which is not there", parser, series)
		}
	}
	for family, help := range want.help {
		// Prometheus's library skips blanks before a HELP text, and its parser drops a HELP text of
		// only NULs.
		const none = " \t\x00"
		if got := r.help[family]; strings.TrimLeft(got, none) != strings.TrimLeft(help, none) || r.kind[family] != want.kind[family] {
			t.Errorf("%s reads family %s as %s, %q; want %s, %q", parser, family, r.kind[family], got, want.kind[family], help)
		}
	}
	if len(r.help) != len(want.help) || len(r.kind) != len(want.kind) {
		t.Errorf("%s reads %d families and %d types, want %d", parser, len(r.help), len(r.kind), len(want.help))
	}
	if t.Failed() {
		t.Fatalf("the page is %q", page)
	}
}

const metadataFamily = "runsc_meta_sandbox_metadata"

// wantReadBack returns what a reply should read back as.
func wantReadBack(t *testing.T, s *schema.Schema, b *verify.Baseline, own map[string]string, extra []snapshot.Label) readBack {
	t.Helper()
	want := newReadBack()
	labels := func(more ...snapshot.Label) map[string]string {
		all := map[string]string{}
		for name, value := range own {
			if value = strings.ToValidUTF8(value, "\uFFFD"); value != "" {
				all[name] = value
			}
		}
		for _, l := range more {
			all[l.Name] = strings.ToValidUTF8(l.Value, "\uFFFD")
		}
		return all
	}
	family := func(name, help, kind string) { want.help[name], want.kind[name] = help, kind }
	add := func(name string, labels map[string]string, value float64) {
		if err := want.add(name, labels, value, b.When.UnixMilli()); err != nil {
			t.Fatal(err)
		}
	}
	for _, sample := range b.Samples {
		m := &s.Metrics[sample.Metric]
		name := "runsc_" + m.Name
		var fields []snapshot.Label
		for i, value := range m.Labels(sample.Series) {
			fields = append(fields, snapshot.Label{Name: m.Fields[i].Name, Value: value})
		}
		family(name, m.Help, m.Type.String())
		if m.Type != schema.Histogram {
			add(name, labels(fields...), float64(sample.Value))
			continue
		}
		h := b.Histograms[sample.Value]
		var count uint64
		for i, n := range h.Counts {
			count += n
			le := "+Inf"
			if i < len(m.Bounds) {
				le = strconv.FormatInt(m.Bounds[i], 10)
			}
			add(name+"_bucket", labels(append(slices.Clone(fields), snapshot.Label{Name: "le", Value: le})...), float64(count))
		}
		add(name+"_count", labels(fields...), float64(count))
		add(name+"_sum", labels(fields...), h.Total.AsFloat())
		for suffix, value := range map[string]float64{"_min": h.Min.AsFloat(), "_max": h.Max.AsFloat(), "_ssd": h.SSD} {
			family(name+suffix, m.Help, "gauge")
			add(name+suffix, labels(fields...), value)
		}
	}
	family(metadataFamily, "Key-value pairs about per-sandbox metadata.", "gauge")
	if err := want.add(metadataFamily, labels(extra...), 1, fuzzTime.UnixMilli()); err != nil {
		t.Fatal(err)
	}
	return want
}

// fuzzRegistration has a counter, a gauge with a field, a counter with two, and a distribution.
func fuzzRegistration(help, value, other string) []byte {
	values := []string{value, other}
	r := simulate.Registration{Metrics: []simulate.Metric{
		{Name: "/opens", PrometheusName: "opens", Description: help, Cumulative: true},
		{Name: "/level", PrometheusName: "level", Description: help, Fields: []simulate.Field{{Name: "at", Allowed: values}}},
		{Name: "/calls", PrometheusName: "calls", Description: help, Cumulative: true, Fields: []simulate.Field{{Name: "z", Allowed: values}, {Name: "a", Allowed: values}}},
		{Name: "/wait", PrometheusName: "wait", Description: help, Type: simulate.Distribution, Fields: []simulate.Field{{Name: "m", Allowed: values}}, Buckets: []int64{-5, 0, 1000}},
	}}
	return r.JSON()
}

// fuzzReply returns the reply of a sandbox with that registration.
func fuzzReply(help, value, other string, n int64, total, ssd float64) []byte {
	text := func(s string) string {
		quoted, err := json.Marshal(s)
		if err != nil {
			panic(err)
		}
		return string(quoted)
	}
	h, v, o := text(help), text(value), text(other)
	return fmt.Appendf(nil, `{"success":true,"err":"","result":{"snapshot":{%s,"data":[`+
		`{"metric":{"name":"opens","type":2,"help":%s},"val":{"int":%d}},`+
		`{"metric":{"name":"level","type":1,"help":%s},"labels":{"at":%s},"val":{"int":-%d}},`+
		`{"metric":{"name":"calls","type":2,"help":%s},"labels":{"z":%s,"a":%s},"val":{"int":%d}},`+
		`{"metric":{"name":"wait","type":3,"help":%s},"labels":{"m":%s},"histogram":{"total":{"float":%v},"min":{"int":-%d},"max":{"float":%v},"ssd":{"float":%v},`+
		`"buckets":[{"le":{"int":-5},"n":%d},{"le":{}},{"le":{"int":1000}},{"le":{}}]}}]}}}`,
		fuzzWhen, h, n, h, v, n, h, v, o, n, h, o, total, n, total, ssd, n)
}
