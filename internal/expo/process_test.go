package expo

import (
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	pb "google.golang.org/protobuf/proto"

	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// TestProcessFamilies: families of the client library come first, in each format.
func TestProcessFamilies(t *testing.T) {
	name, help, kind, value := "process_cpu_seconds_total", "CPU time.", dto.MetricType_COUNTER, 1.5
	snap := golden(t)
	snap.Process = []*dto.MetricFamily{{Name: &name, Help: &help, Type: &kind, Metric: []*dto.Metric{{Counter: &dto.Counter{Value: &value}}}}}
	p := build(snap)
	others := golden(t)
	others.Process = []*dto.MetricFamily{} // with the library, the server has no start time of its own
	rest := build(others)
	for _, c := range []struct {
		format Format
		want   string
	}{
		{Text{}, "# HELP process_cpu_seconds_total CPU time.\n# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 1.5\n"},
		{OpenMetrics{}, "# HELP process_cpu_seconds CPU time.\n# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total 1.5\n"},
	} {
		if got, ok := strings.CutPrefix(string(c.format.Append(nil, p)), c.want); !ok || got != string(c.format.Append(nil, rest)) {
			t.Errorf("%s does not begin with\n%s\nor goes on as\n%s", nameOf(c.format), c.want, got)
		}
	}
	families, _ := parseProtobuf(t, Protobuf{}.Append(nil, p))
	if f := families[0]; !pb.Equal(f, snap.Process[0]) {
		t.Errorf("the first family is %+v", f)
	}
}

// TestProcessSelection: name[] and shards select these families too.
func TestProcessSelection(t *testing.T) {
	name := "go_goroutines"
	snap := &snapshot.Snapshot{Process: []*dto.MetricFamily{{Name: &name}}}
	check := func(want int, selection page.Selection) {
		t.Helper()
		p := page.NewBuilder(page.Options{Naming: page.PrometheusNaming}).Build(snap, selection)
		if len(p.Process) != want {
			t.Errorf("%+v selects %d families, want %d", selection, len(p.Process), want)
		}
	}
	check(1, page.Selection{})
	check(1, page.Selection{Names: snapshot.NewValues([]string{name})})
	check(0, page.Selection{Names: snapshot.NewValues([]string{"other"})})
	check(1, page.Selection{Sandboxes: snapshot.Selector{Shard: snapshot.Shard{Index: 0, Count: 2}}})
	check(0, page.Selection{Sandboxes: snapshot.Selector{Shard: snapshot.Shard{Index: 1, Count: 2}}})
}
