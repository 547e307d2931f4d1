package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A shortLife is the life of one sandbox, as the test knows it.
type shortLife struct {
	id    string
	known int     // opens, by its workload
	opens float64 // all, as its final metrics log has them
	cpu   float64 // of its cgroup after its end, in seconds
}

// TestShortLives compares what servers count and record of many short lives, which no reader sees, with what
// the sandboxes did, by themselves and by their cgroups. One server reads final metrics logs, one does not.
func TestShortLives(t *testing.T) {
	w := newWorld(t)
	logs := filepath.Join(t.TempDir(), "final", "%ID%.log")
	w.must(os.Mkdir(filepath.Dir(logs), 0o755))
	observe := func(name string, flags ...string) *recorded {
		at := *w
		at.setAddr(filepath.Join(w.node.Dir(), name))
		return at.record(t.TempDir(), append(flags, "--totals-metric=fs_opens")...)
	}
	reading, sampling := observe("reading", "--final-metrics-log="+logs), observe("sampling")
	var lives []shortLife
	const groups, atATime = 3, 5
	for group := range groups {
		var group5 []shortLife
		for i := range atATime {
			n := group*atATime + i
			life := shortLife{id: usageID(fmt.Sprintf("truth-%02d", n)), known: n * 37}
			c := w.container(life.id, "live", fmt.Sprint(life.known), fmt.Sprint(100+n*577%900, "ms"))
			c.Cgroup, c.Flags = true, []string{"--final-metrics-log=" + logs}
			w.must(w.node.Run(w.ctx(), c))
			group5 = append(group5, life)
		}
		for _, life := range group5 {
			pid := w.pid(life.id)
			w.untilGone(pid)
			w.reaped(pid)
			life.cpu = cpuOf(t, life.id)
			for _, r := range []*recorded{reading, sampling} {
				r.untilRecorded(life.id)
			}
			w.remove(life.id)
			life.opens = readNumber(t, strings.ReplaceAll(logs, "%ID%", life.id), "runsc_fs_opens ")
			if start := life.opens - float64(life.known); len(lives) > 0 && start != lives[0].opens-float64(lives[0].known) {
				t.Errorf("%s has opened %v files besides those of its workload", life.id, start)
			}
			lives = append(lives, life)
		}
	}
	reading.wantLived(lives, true)
	sampling.wantLived(lives, false)
}

// wantLived compares the records and the totals of a server with the lives of sandboxes. If the records are
// complete, so are the totals; otherwise, totals lack what records lack.
func (r *recorded) wantLived(lives []shortLife, complete bool) {
	r.t.Helper()
	opens, cpu, records := 0.0, 0.0, r.records()
	for _, life := range lives {
		record := records[life.id][0]
		var recorded float64
		if text, ok := record.Metrics["fs_opens"]; ok {
			r.must(json.Unmarshal(text, &recorded))
		}
		if record.MetricsComplete != complete || complete && recorded != life.opens || recorded > life.opens || !record.UsageComplete {
			r.t.Errorf("%s has opened %v files; its record has %v: %+v", life.id, life.opens, recorded, record)
		}
		wantUsage(r.t, "the CPU time of "+life.id, *record.CPU, life.cpu, life.cpu)
		opens += recorded
		cpu += life.cpu
	}
	p, n := r.scrape(), float64(len(lives))
	p.wantValue(r.t, opens, "sandmeter_sandboxes_fs_opens_total")
	p.wantValue(r.t, n, "sandmeter_sandboxes_started_total")
	p.wantValue(r.t, n, "sandmeter_final_records_written_total")
	p.wantValue(r.t, 0, "sandmeter_final_records_dropped_total")
	total, _ := p.value("sandmeter_sandboxes_cpu_seconds_total")
	wantUsage(r.t, "the total of CPU time", total, cpu, cpu)
	r.wantTotals(map[string]int{"exited": len(lives)})
}
