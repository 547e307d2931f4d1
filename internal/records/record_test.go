package records

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

var update = flag.Bool("update", false, "write the golden file anew")

const golden = "testdata/records.jsonl"

// TestGolden: each way to end, with all and with no values.
func TestGolden(t *testing.T) {
	withoutCgroup := bare(snapshot.End{Time: created, Outcome: snapshot.Exited, Lifetime: 1500 * time.Microsecond, Usage: snapshot.FromSample})
	withoutCgroup.Usage = measuredSentry()
	sandboxes := []*snapshot.Sandbox{
		example(t),
		pod(t),
		withoutCgroup,
		bare(snapshot.End{Time: created, Outcome: snapshot.OOMKilled, Signal: 9, MemoryPeak: 1 << 30, Usage: snapshot.NoOrigin, Metrics: snapshot.NoOrigin}),
		bare(snapshot.End{Time: created, Outcome: snapshot.Killed, Signal: 9}),
		bare(snapshot.End{Time: created, Outcome: snapshot.Checkpointed}),
		bare(snapshot.End{Outcome: snapshot.Vanished}),
		bare(snapshot.End{Time: created, Outcome: snapshot.Unregistered, Metrics: snapshot.FromUnregister, Usage: snapshot.FromUnregister, Network: snapshot.FromUnregister}),
		bare(snapshot.End{Time: created, Outcome: snapshot.Unknown, Metrics: snapshot.FromSample}),
	}
	var got []byte
	for _, s := range sandboxes {
		got = append(got, Of(s).Line()...)
	}
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the records are\n%s\nwant\n%s", got, want)
	}
}

// TestOf: single fields, as they are encoded, which the golden file does not have.
func TestOf(t *testing.T) {
	check := func(field, want string, change func(*snapshot.Sandbox)) {
		t.Helper()
		s := pod(t)
		change(s)
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(Of(s).Line(), &fields); err != nil {
			t.Fatal(err)
		}
		if got := string(fields[field]); got != want {
			t.Errorf("%s is %s, want %s", field, got, want)
		}
	}
	check("created_at", `"2026-11-03T08:15:00.000000001Z"`, func(s *snapshot.Sandbox) { s.CreatedAt = created.Add(1) })
	check("created_at", "null", func(s *snapshot.Sandbox) { s.CreatedAt = time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC) })
	check("exit_code", "0", func(s *snapshot.Sandbox) { s.End.Outcome, s.End.Code = snapshot.Exited, 0 })
	check("exit_code", "null", func(s *snapshot.Sandbox) { s.End.Outcome, s.End.Code = snapshot.Killed, 0 })
	check("lifetime_seconds", "null", func(s *snapshot.Sandbox) { s.End.Lifetime = 0 })
	check("network", "null", func(s *snapshot.Sandbox) { s.Usage.Interfaces = nil })
	check("cpu_seconds", "1e-9", func(s *snapshot.Sandbox) { s.Usage.Set(fact.CPU, 1) })
	check("cpu_seconds", "null", func(s *snapshot.Sandbox) { s.Usage = nil })
	check("unattributed_cpu_seconds", "null", func(s *snapshot.Sandbox) { s.Usage.Unattributed = fact.Figure{} })
	check("oom_kills", "null", func(s *snapshot.Sandbox) { s.Usage = measuredSentry() })
	check("metrics", "null", func(s *snapshot.Sandbox) { s.Reported = snapshot.Source{} })
	check("metrics", "{}", func(s *snapshot.Sandbox) {
		s.Reported = snapshot.Source{Schema: compile(t, `{"metrics":[{"name":"/m","prometheus_name":"m","description":""}]}`)}
	})
	for _, notInJSON := range []float64{math.NaN(), math.Inf(1)} {
		check("metrics", `{"h":{"count":1,"sum":null}}`, func(s *snapshot.Sandbox) {
			s.Reported = snapshot.Source{
				Schema:     compile(t, `{"metrics":[{"name":"/h","prometheus_name":"h","description":"","type":1,"distribution_bucket_lower_bounds":[0,1]}]}`),
				Samples:    make([]snapshot.Sample, 1),
				Histograms: []snapshot.Histogram{{Total: snapshot.Number{Float: notInJSON, IsFloat: true}, Counts: []uint64{0, 1, 0}}},
			}
		})
	}
	check("pod", `"we\ufffdb"`, func(s *snapshot.Sandbox) { s.Labels.Pod = "we\xff\xfeb" })
	check("pod", `"\u001b[31m\u007f\u009b\u202e\ud83d\ude00\n<"`, func(s *snapshot.Sandbox) { s.Labels.Pod = "\x1b[31m\x7f\u009b\u202e\U0001F600\n<" })
	check("pod", `"`+strings.Repeat("a", maxText-1)+`"`, func(s *snapshot.Sandbox) { s.Labels.Pod = strings.Repeat("a", maxText-1) + "\u20ac" })
	check("containers", "[]", func(s *snapshot.Sandbox) { s.Containers, s.Deleted, s.Usage = nil, nil, nil })
}

// TestTooLarge: a record that would be too large has no metrics, and none of its values counts as
// complete. If it still is, it has no containers.
func TestTooLarge(t *testing.T) {
	check := func(what string, s *snapshot.Sandbox, wantContainers bool) {
		t.Helper()
		line := Of(s).Line()
		var r Record
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if len(line) > MaxSize || !r.Truncated || r.MetricsComplete || r.Metrics != nil || (r.Containers != nil) != wantContainers {
			t.Errorf("%s: the record has %d bytes and is %.300s", what, len(line), line)
		}
		if r.MetricsSource != string(snapshot.FromFinalLog) || !r.UsageComplete {
			t.Errorf("%s: the sources are %.300s", what, line)
		}
	}
	s := pod(t)
	s.Reported = manyCounters(t, 10_000)
	check("many metrics", s, true)
	s = pod(t)
	s.Containers = nil
	for range MaxSize/maxText - 1 { // fits without the metrics
		s.Containers = append(s.Containers, snapshot.Container{ID: strings.Repeat("a", maxText-100)})
	}
	s.Reported = manyCounters(t, 1000)
	check("many containers and metrics", s, true)

	s.Containers = nil
	for range 15 {
		s.Containers = append(s.Containers, snapshot.Container{ID: "c", Name: strings.Repeat("\x01", maxText)})
	}
	check("containers with long names", s, false)
}

// TestTooManySeries: of far more series than a line has room for, most take no memory.
func TestTooManySeries(t *testing.T) {
	values := `"0"`
	for i := 1; i < 200; i++ {
		values += fmt.Sprintf(`,"%d"`, i)
	}
	s := pod(t)
	s.Reported = snapshot.Source{Schema: compile(t, `{"metrics":[{"name":"/m","prometheus_name":"m","description":"","cumulative":true,"fields":[
		{"field_name":"a","allowed_values":[`+values+`]},{"field_name":"b","allowed_values":[`+values+`]}]}]}`)}
	for i := range 200 * 200 {
		s.Reported.Samples = append(s.Reported.Samples, snapshot.Sample{Series: uint32(i), Value: 1})
	}
	var r Record
	allocated := testing.AllocsPerRun(1, func() { r = Of(s) })
	if r.Metrics != nil || !r.Truncated || r.MetricsComplete || allocated > 100_000 {
		t.Errorf("the record takes %.0f allocations, and has %d metrics", allocated, len(r.Metrics))
	}
}

// TestLargest: every identity fits, if its texts are as long as escapes make them.
func TestLargest(t *testing.T) {
	long := strings.Repeat("\x01", 2*maxText)
	s := pod(t)
	s.Labels, s.Root = &snapshot.Labels{Sandbox: long, Iteration: long, Pod: long, Namespace: long}, long
	s.Containers = []snapshot.Container{{ID: long, Name: long, Image: long}}
	line := Of(s).Line()
	if len(line) > MaxSize || bytes.Contains(line, []byte(`"truncated":true`)) {
		t.Errorf("the record has %d bytes", len(line))
	}
}
