package e2e

import (
	"math"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// envTruth names the environment variable with the number of sandboxes of TestShortLives. With it,
// they are deleted as soon as they have ended, as container managers do, and the test checks what a
// restart may cost, which depends on the speed of the machine.
const envTruth = "SANDMETER_TRUTH"

// enoughLives is how many sandboxes make those that live during a restart less than one percent of all.
const enoughLives = 200

// TestShortLives compares what servers count and record of many short lives with what the sandboxes
// did, by themselves and by their cgroups. One server reads final metrics logs, one does not, and two
// are restarted in the middle. Prometheus scrapes all of them, and misses most of the sandboxes.
func TestShortLives(t *testing.T) {
	w := newWorld(t)
	n, prompt := 40, os.Getenv(envTruth) != ""
	if prompt {
		var err error
		n, err = strconv.Atoi(os.Getenv(envTruth))
		w.must(err)
	}
	r := newTruth(w, prompt)
	last := "--final-metrics-log=" + r.logs
	steady := []*observer{r.observe("final metrics logs", last), r.observe("samples")}
	stopped, killed := r.observe("stopped", last), r.observe("killed", last)
	program := peerProgram{name: "Prometheus", path: "bin/prometheus", flags: prometheusFlags(), protocols: []protocol{text0}, choosable: true, interval: "5s"}
	r.prometheus = w.startPeer(program, findPeer(t, program.path), r.endpoints())
	r.each(r.scraped) // it knows the totals when they are 0

	lives := r.start(n)
	// What comes after a restart is less than what was before, so that Prometheus sees the total fall.
	r.restart(stopped, n*3/5, unix.SIGTERM, 0)
	r.restart(killed, 2*n/3, unix.SIGKILL, -1)
	r.lives = <-lives
	r.each(r.finish)
	r.checkLives(n)
	for _, o := range steady {
		r.checkRecords(o)
		r.checkTotals(o)
	}
	for _, o := range []*observer{stopped, killed} {
		r.checkRecords(o)
		r.checkRestart(o)
	}
}

// checkLives checks what the test itself knows: all sandboxes open the same number of files besides
// those of their workloads.
func (r *truth) checkLives(n int) {
	r.t.Helper()
	if len(r.lives) != n {
		r.t.Fatalf("%d sandboxes have lived, want %d", len(r.lives), n)
	}
	others := r.lives[0].opens - float64(r.lives[0].known)
	for _, life := range r.lives {
		if got := life.opens - float64(life.known); got != others || life.cpu <= 0 {
			r.t.Errorf("%s has opened %v files besides the %d of its workload, and %s %v; it has used %v s of CPU time",
				life.id, got, life.known, r.lives[0].id, others, life.cpu)
		}
	}
	opens, cpu := r.truth(func(shortLife) bool { return true })
	r.t.Logf("%d sandboxes have opened %v files, %v each besides those of their workloads, and used %.3f s of CPU time", n, opens, others, cpu)
}

// checkRecords checks that each life whose end a server observed has one record, and that records
// which claim to be complete are.
func (r *truth) checkRecords(o *observer) {
	r.t.Helper()
	records, missing := o.finalRecords(), 0
	for _, life := range r.lives {
		record, ok := records[life.id]
		delete(records, life.id)
		switch span := life.spans[o]; {
		case !ok && (o.signal != unix.SIGKILL || span.ended == 2) && span.observed():
			r.t.Errorf("%s: %s has no record, although the server ran at its end: %+v", o.transport, life.id, span)
		case !ok:
			missing++
		case record.MetricsComplete && record.opens() != life.opens, record.opens() > life.opens:
			r.t.Errorf("%s: the record of %s has %v opens, want %v: %+v", o.transport, life.id, record.opens(), life.opens, record)
		}
	}
	for id := range records {
		r.t.Errorf("%s: there is no sandbox %s", o.transport, id)
	}
	r.t.Logf("%s: %d lives without a record; %s\n%s", o.transport, missing, tally(o.finalRecords()), o.warnings())
}

// checkTotals checks the totals of a server that ran all the time: what they lack of the truth is
// what incomplete records lack.
func (r *truth) checkTotals(o *observer) {
	r.t.Helper()
	totals, records := o.totals(), o.finalRecords()
	opens, cpu := r.truth(func(shortLife) bool { return true })
	incomplete, unmeasured := 0.0, 0.0
	for _, life := range r.lives {
		record := records[life.id]
		if !record.MetricsComplete {
			incomplete += life.opens - record.opens()
		}
		if !record.UsageComplete {
			unmeasured += life.cpu - record.CPU
		}
	}
	n := float64(len(r.lives))
	for family, want := range map[string]float64{totalOpens: opens - incomplete, totalStarted: n, totalEnded: n, recordsWritten: n, recordsDropped: 0} {
		if totals[family] != want {
			r.t.Errorf("%s: %s is %v, want %v", o.transport, family, totals[family], want)
		}
	}
	wantUsage(r.t, o.transport+": the CPU time", totals[totalCPU], cpu-unmeasured, cpu-unmeasured)
	r.t.Logf("%s: of %v opens, the total lacks %v, and incomplete records lack %v; of %.3f s of CPU time, %.3f and %.3f",
		o.transport, opens, opens-totals[totalOpens], incomplete, cpu, cpu-totals[totalCPU], unmeasured)
}

// checkRestart checks what Prometheus has of the totals of a server that was restarted: they only
// begin again at 0, and what they grew is what the sandboxes did.
func (r *truth) checkRestart(o *observer) {
	r.t.Helper()
	var grown, before float64
	resets := 0
	for i, s := range r.samples(o) {
		value := float64(s.Value)
		switch {
		case i == 0 && value != 0:
			r.t.Errorf("%s: the first sample is %v, want 0", o.transport, value)
		case value < before:
			resets++
			grown += value
		default:
			grown += value - before
		}
		before = value
	}
	if resets != 1 {
		r.t.Errorf("%s: the total of opens has fallen %d times, want once", o.transport, resets)
	}
	all, _ := r.truth(func(shortLife) bool { return true })
	least, _ := r.truth(func(life shortLife) bool { return hasRecord(o.settled, life.id) || life.spans[o].began == 2 })
	if grown < least || grown > all {
		r.t.Errorf("%s: the total of opens has grown by %v, want %v to %v", o.transport, grown, least, all)
	}
	records := o.finalRecords()
	unseen, _ := r.truth(func(life shortLife) bool { return records[life.id].ID == "" })
	r.t.Logf("%s: the total of opens has grown by %v; the truth is %v, and %v of lives that ended while no server ran: %.2f %%",
		o.transport, grown, all, unseen, 100*grown/(all-unseen))
	if len(r.lives) >= enoughLives && math.Abs(grown-(all-unseen)) > (all-unseen)/100 {
		r.t.Errorf("%s: this is more than 1 %% off", o.transport)
	}
}

// truth returns the sums of the lives that a function selects.
func (r *truth) truth(of func(shortLife) bool) (opens, cpu float64) {
	for _, life := range r.lives {
		if of(life) {
			opens += life.opens
			cpu += life.cpu
		}
	}
	return opens, cpu
}

// scraped waits until Prometheus has a sample of the total of opens that is younger than the call.
func (r *truth) scraped(o *observer) {
	r.t.Helper()
	now := time.Now()
	r.until(func() error {
		if samples := r.samples(o); len(samples) == 0 || !samples[len(samples)-1].Timestamp.Time().After(now) {
			return errNot("scraped")
		}
		return nil
	})
}
