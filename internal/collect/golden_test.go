package collect

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGoldenPage scrapes simulated copies of the three sandboxes of a page that was recorded from
// gVisor's metric server, and compares the result with a golden file and with the recording.
func TestGoldenPage(t *testing.T) {
	reference := string(testkit.Testdata(t, "reference.txt"))
	n := newNode(t, nil)
	dropIn := func() string { return textWith(n.collect(), families.Options{DropIn: true}) }
	for _, spec := range []simulate.Spec{
		{ID: "sb-plain", Root: simulate.Container{CreatedAt: time.Date(2026, 11, 22, 9, 12, 52, 743744391, time.UTC)}},
		{ID: "sb-k8s", Root: simulate.Container{CreatedAt: time.Date(2026, 11, 22, 9, 12, 52, 799344464, time.UTC)},
			Pod: "nginx-7d8b49557c-abcde", Namespace: "prod-ns"},
		{ID: "sb-busy", Root: simulate.Container{CreatedAt: time.Date(2026, 11, 22, 9, 12, 52, 839699344, time.UTC)}},
	} {
		spec.Points = n.recordedPoints(reference, spec.ID)
		n.start(spec)
	}
	page := dropIn()
	compareGolden(t, "page.golden", page)
	if again := dropIn(); again != page {
		t.Errorf("a second scrape gives another page:\n%s", again)
	}
	if got, want := n.normalLines(page), n.normalLines(referenceAsOurs(reference)); !slices.Equal(got, want) {
		t.Errorf("the page is\n%s\nand the recording\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestGoldenUsage compares a sandbox's usage families with a golden file. For ten seconds, the sandbox
// reports more CPU time, more memory, and less traffic than the host measures.
func TestGoldenUsage(t *testing.T) {
	r := newReporting(t, detailed, nil)
	r.write(t, "sys/fs/cgroup/a/memory.current", "100000000\n")
	step := func(host, a, b int, sent, claimed int64) string {
		netdev := fmt.Sprintf("head\nhead\neth0: 1 2 3 4 0 0 0 0 %d 6 7 8 0 0 0 0\n", sent)
		r.write(t, "proc/"+strconv.Itoa(r.sandbox.PID())+"/net/dev", netdev)
		r.use = simulate.Use{
			Memory:     map[string]int64{"a": 25_000_000, "b": 100_000_000},
			Processes:  map[string]int64{"a": 1, "b": 3},
			Interfaces: []simulate.Interface{{Name: "eth0", TxBytes: claimed}},
		}
		r.set(host, a, b)
		return r.page()
	}
	step(1000, 500, 500, 5, 5)
	page := step(5000, 1500, 4500, 4_000_005, 3_000_005)
	compareGolden(t, "usage.golden", usageFamilies(page))
}

// usageFamilies returns the families about usage on a page.
func usageFamilies(page string) string {
	var found strings.Builder
	isUsage := false
	for line := range strings.Lines(page) {
		if head, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, _, _ := strings.Cut(head, " ")
			isUsage = slices.ContainsFunc(families.Usage.Metrics, func(m schema.Metric) bool { return m.Name == name })
		}
		if isUsage {
			found.WriteString(line)
		}
	}
	return found.String()
}

// compareGolden compares a page with a file in testdata, or writes the file with -update.
func compareGolden(t *testing.T, file, page string) {
	t.Helper()
	if *update {
		if err := os.WriteFile("testdata/"+file, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := string(testkit.Testdata(t, file)); page != want {
		t.Errorf("the page differs from testdata/%s; go test -update rewrites it. Got\n%s", file, page)
	}
}

// referenceAsOurs is the recorded page except for intended differences: two counters that are
// gauges here.
func referenceAsOurs(reference string) string {
	for _, what := range []string{"checkpointed", "restored"} {
		reference = strings.NewReplacer(
			"num_sandboxes_"+what+" counter", "num_sandboxes_"+what+" gauge",
			"num_sandboxes_"+what+" Counter of sandboxes that have been", "num_sandboxes_"+what+" Number of sandboxes present that have been",
		).Replace(reference)
	}
	return reference
}

// normalLines returns the sorted lines of a page, without empty lines and unused comments, without
// the times of samples, and with floats rounded to the precision of the recorded server.
func (n *node) normalLines(page string) []string {
	var lines []string
	for line := range strings.Lines(sampleTime.ReplaceAllString(page, "")) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "# HELP ") && !strings.HasPrefix(line, "# TYPE ") {
			continue
		}
		if at := strings.LastIndexByte(line, ' '); !strings.HasPrefix(line, "#") && strings.Contains(line[at:], ".") {
			f, err := strconv.ParseFloat(line[at+1:], 64)
			n.must(err)
			line = line[:at+1] + fmt.Sprintf("%f", f)
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

// recordedPoints returns the values of a sandbox on the recorded page.
func (n *node) recordedPoints(page, id string) []simulate.Point {
	sample := regexp.MustCompile(`(?m)^runsc_(\w+)\{(.*,)?sandbox="` + id + `"(.*)\} (\d+) \d+$`)
	var points []simulate.Point
	for _, m := range sample.FindAllStringSubmatch(page, -1) {
		if strings.HasPrefix(m[1], "meta_") {
			continue
		}
		value, err := strconv.ParseInt(m[4], 10, 64)
		n.must(err)
		labels := make(map[string]string)
		for _, label := range regexp.MustCompile(`(entry_point_type|sysno)="(\w+)"`).FindAllStringSubmatch(m[2]+m[3], -1) {
			labels[label[1]] = label[2]
		}
		points = append(points, simulate.Point{Metric: m[1], Labels: labels, Int: value})
	}
	if len(points) != 8 {
		n.Fatalf("%d points of %s on the recorded page, not 8", len(points), id)
	}
	return points
}
