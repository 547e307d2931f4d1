package e2e

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/schema"
)

// Families that the peers are asked about.
const (
	opensFamily    = "runsc_fs_opens_total"
	presenceFamily = "sandmeter_sandbox_presence"
	failureFamily  = "sandmeter_sandbox_failure"
	upFamily       = "sandmeter_sandbox_up"
)

// TestPeers runs the programs that read our pages elsewhere, with the same real sandboxes, and asks
// what they stored: a current Prometheus and those of Debian, in every format that they negotiate,
// over plain HTTP and over TLS with passwords.
func TestPeers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const worked = 100
	w.start("worked", "touch", fmt.Sprint(worked))
	for _, id := range []string{"rested", "killed", "deleted"} {
		w.start(id, "touch", "0")
	}
	endpoints := w.endpoints()
	opens := endpoints[0].untilWorked("worked", "rested", worked)

	// The sandbox did its work before the first scrape of a peer, and does nothing from here on.
	ps := w.startPeers(endpoints)
	ps.until(1, "up")
	ps.until(opens, opensFamily+`{sandbox="worked"}`)
	ps.eachJob(peer.agrees)
	ps.eachJob(peer.negotiated)
	sandboxes := endpoints[0].sandboxes()
	ps.eachJob(func(p peer, j job) error { return p.lists(j, sandboxes) })
	created := endpoints[0].created("worked")
	ps.eachJob(func(p peer, j job) error { return p.beginsWith(j, created, opens, `sandbox="worked"`) })

	// If a sandbox stalls, the target is up, and a gauge says which sandbox it is.
	goOn := w.stopSandbox("worked")
	ps.until(0, upFamily+`{sandbox="worked"} and on (job) up == 1`)
	ps.until(1, failureFamily+`{sandbox="worked",reason="stalled"} and on (job) up == 1`)
	ps.untilNone(opensFamily + `{sandbox="worked"}`)
	ps.until(1, presenceFamily+`{sandbox="worked"}`)
	goOn()
	ps.until(opens, opensFamily+`{sandbox="worked"}`)
	ps.until(1, upFamily+`{sandbox="worked"}`)
	ps.untilNone(failureFamily + `{sandbox="worked"}`)

	// If the server stalls, its target is down, and the series of all sandboxes are stale.
	for _, e := range endpoints {
		e.server.signal(syscall.SIGSTOP)
	}
	ps.until(0, "up")
	ps.untilNone(`{sandbox!=""}`)
	for _, e := range endpoints {
		e.server.signal(syscall.SIGCONT)
	}
	ps.until(opens, opensFamily+`{sandbox="worked"} and on (job) up == 1`)

	// When a sandbox leaves the page, its series are stale at once, not after the 5 minutes that
	// Prometheus looks back.
	w.reaped(w.kill("killed"))
	ps.untilNone(`{sandbox="killed"}`)
	w.remove("killed", "deleted")
	ps.untilNone(`{sandbox=~"killed|deleted"}`)
	ps.until(opens, opensFamily+`{sandbox="worked"} and on (job) up == 1`)
	ps.eachJob(peer.agrees)
}

// peers are the peers of a test, which all scrape the same servers.
type peers struct {
	w    *world
	list []peer
}

// startPeers starts the peers that are available, and skips the others.
func (w *world) startPeers(endpoints []*endpoint) peers {
	w.t.Helper()
	ps := peers{w: w}
	for _, program := range peerPrograms {
		var path string
		w.t.Run(program.name, func(t *testing.T) { path = findPeer(t, program.path) })
		if path != "" {
			ps.list = append(ps.list, w.startPeer(program, path, endpoints))
		}
	}
	return ps
}

// each repeats a check of each peer until it holds.
func (ps peers) each(check func(p peer) error) {
	ps.w.t.Helper()
	for _, p := range ps.list {
		ps.w.until(func() error { return check(p) })
	}
}

// eachJob is each for every job of each peer.
func (ps peers) eachJob(check func(p peer, j job) error) {
	ps.w.t.Helper()
	ps.each(func(p peer) error {
		var errs []error
		for _, j := range p.jobs {
			errs = append(errs, check(p, j))
		}
		return errors.Join(errs...)
	})
}

// until waits until a query has a value in each job of each peer.
func (ps peers) until(want float64, query string) {
	ps.w.t.Helper()
	ps.each(func(p peer) error { return p.has(want, query) })
}

// untilNone waits until a query has no value.
func (ps peers) untilNone(query string) {
	ps.w.t.Helper()
	ps.each(func(p peer) error { return p.hasNone(query) })
}

// lists returns an error unless a job has exactly the given sandboxes.
func (p peer) lists(j job, ids []string) error {
	vector, err := p.instant(j.of(presenceFamily, ""))
	var got []string
	for _, s := range vector {
		got = append(got, string(s.Metric["sandbox"]))
	}
	if slices.Sort(got); err == nil && !slices.Equal(got, ids) {
		return fmt.Errorf("%s, %s: the sandboxes are %q, want %q", p.name, j, got, ids)
	}
	return err
}

// agrees returns an error unless a job has the series of sandboxes that the server's page has, and
// the values of those that do not change from page to page. What the host measures may change at any
// time, and back.
func (p peer) agrees(j job) error {
	before := j.endpoint.values()
	got, err := p.series(j)
	if err != nil {
		return err
	}
	after, compared := j.endpoint.values(), 0
	for series, value := range before {
		if again, ok := after[series]; !ok || again != value || isUsage(series) {
			continue
		}
		if stored, ok := got[series]; !ok || !nearly(stored, value) {
			return fmt.Errorf("%s, %s: %s is %v (present: %t), and %v on the page", p.name, j, series, stored, ok, value)
		}
		compared++
	}
	for series := range got {
		name, _, _ := strings.Cut(series, "{")
		if _, ok := before[series]; !ok && !strings.HasSuffix(name, "_created") { // start times of OpenMetrics
			return fmt.Errorf("%s, %s: %s is not on the page", p.name, j, series)
		}
	}
	if compared < len(before)/2 {
		return fmt.Errorf("only %d of %d series of the page do not change", compared, len(before))
	}
	return nil
}

// isUsage reports whether the host measures a series.
func isUsage(series string) bool {
	name, _, _ := strings.Cut(series, "{")
	return slices.ContainsFunc(families.Usage.Metrics, func(m schema.Metric) bool { return m.Name == name })
}

// nearly reports whether a stored value is that of a page: VictoriaMetrics may change the last digit
// of a fraction.
func nearly(stored, value float64) bool { return math.Abs(stored-value) <= 1e-14*math.Abs(value) }

// negotiated returns an error unless the server has sent the job's pages in the job's format.
func (p peer) negotiated(j job) error {
	formats := j.endpoint.formats(j.filter())
	if len(formats) != 1 || !strings.HasPrefix(formats[0], j.format) {
		return fmt.Errorf("%s, %s: the server sent %q, want only %q", p.name, j, formats, j.format)
	}
	return nil
}

// beginsWith returns an error unless the first stored samples of a sandbox's opens are right. A peer
// that stores start times has 0 when the sandbox was created, and then the opens before the first
// scrape. For any other peer, they are the first sample.
func (p peer) beginsWith(j job, created time.Time, value float64, labels string) error {
	samples, err := p.samples(j.of(opensFamily, labels))
	if err != nil {
		return err
	}
	if p.zeros && j.starts {
		if zero := samples[0]; zero.Value != 0 || zero.Timestamp.Time().Sub(created).Abs() > time.Millisecond {
			return fmt.Errorf("%s, %s: the first sample is %v, want 0 at %v", p.name, j, zero, created)
		}
		samples = samples[1:]
	}
	if len(samples) == 0 || samples[0].Value != model.SampleValue(value) || !samples[0].Timestamp.Time().After(created.Add(time.Millisecond)) {
		return fmt.Errorf("%s, %s: the samples of scrapes are %v, want %v", p.name, j, samples, value)
	}
	return nil
}
