package collect

import (
	"math"
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// maxShare limits the bytes of the page that one sandbox may take. It does not limit zeros, which
// depend on the registration and not on the sandbox. All series that runsc registers,
// with the longest labels that Kubernetes allows, fit into it.
const maxShare = 2 << 20

// commit makes a verified reply the baseline. It returns a failure if the metrics take more than
// maxShare.
func (l *life) commit(next verify.Baseline) *failure.Failure {
	l.baseline = next
	l.commits++
	source := l.reported()
	source.Measure(&l.measured)
	l.measured = source
	if source.TextSize > maxShare {
		return failure.Newf(failure.TooLong, "the metrics take %d bytes of the page; the limit is %d", source.TextSize, maxShare)
	}
	return nil
}

// saved returns the time that the restore saved.
func (l *life) saved() (cpu, wall time.Duration) {
	switch {
	case !l.facts.Restored:
		return 0, 0
	case l.facts.CPUSaved != 0 || l.facts.WallSaved != 0:
		return l.facts.CPUSaved, l.facts.WallSaved
	}
	return l.savings.CPU, l.savings.Wall
}

// reported returns the last verified reply as a source.
func (l *life) reported() snapshot.Source {
	return snapshot.Source{
		Labels:     l.identity.Labels,
		Schema:     l.compiled.schema,
		Time:       l.baseline.When.UnixMilli(),
		Start:      nanoseconds(l.identity.CreatedAt),
		Samples:    l.baseline.Samples,
		Histograms: l.baseline.Histograms,
		TextSize:   l.measured.TextSize,
		ZeroSize:   l.measured.ZeroSize,
	}
}

// nanoseconds returns a time in nanoseconds since the Unix epoch, and 0 for the zero time and one that has no such number.
func nanoseconds(t time.Time) int64 {
	const last = math.MaxInt64 / int64(time.Second) // seconds
	if s := t.Unix(); s < 0 || s >= last {
		return 0
	}
	return t.UnixNano()
}

// view returns a sandbox with its last values, if it has ended.
func (l *life) view(last *frozen) snapshot.Sandbox {
	cpu, wall := l.saved()
	view := snapshot.Sandbox{
		Identity:     l.identity,
		Phase:        l.phase(),
		Checkpointed: l.facts.Checkpointed,
		Restored:     l.facts.Restored,
		CPUSaved:     cpu,
		WallSaved:    wall,
		End:          l.end,
		Hidden:       l.hiding,
		Derived:      l.derived,
	}
	if last != nil {
		view.Replied, view.Reported, view.Usage = last.replied, last.reported, last.usage
	}
	return view
}

// frozen are the last values of a sandbox that has ended: counters and histograms. Its gauges would
// falsify sums over the sandboxes that run.
type frozen struct {
	reported snapshot.Source // without a schema if there are none
	usage    *snapshot.Usage // nil: nothing was measured
	replied  time.Time
}

// freeze returns the last values of a sandbox that has ended or is being unregistered. They are made once,
// and again when its life is closed, because values may have come since.
func (l *life) freeze() *frozen {
	if l.frozen != nil {
		return l.frozen
	}
	last := &frozen{replied: l.baseline.When}
	if l.sampled() {
		last.reported = l.reported().WithoutGauges()
	}
	final := l.final()
	if l.isMeasured() {
		if final != nil {
			l.usage.found.Update(&final.usage)
		}
		l.finishShares()
		last.usage = l.lastUsage()
	}
	if final != nil || l.state == unregistered { // else the cgroup is being read
		l.frozen = last
	}
	return last
}

// isMeasured reports whether there are figures of the host.
func (l *life) isMeasured() bool { return !l.usage.found.Time.IsZero() }

// usageNow returns the usage of a running sandbox, as of its last measurement.
func (l *life) usageNow() *snapshot.Usage {
	u, pools := &l.usage, &l.usages
	now := snapshot.Usage{Reading: u.found, Differences: u.reported.differences()}
	now.Interfaces = pools.interfaces.Copy(u.found.Interfaces)
	if now.Unknown = u.reasons(); u.last != nil && slices.Equal(now.Unknown, u.last.Unknown) {
		now.Unknown = u.last.Unknown
	} else {
		now.Unknown = slices.Clone(now.Unknown)
	}
	now.Absent = now.Unknown[:len(u.found.Absent)]
	u.addShares(&now, &pools.shares)
	u.addDetail(&now, pools)
	u.last = &pools.usages.Copy([]snapshot.Usage{now})[0]
	return u.last
}

// lastUsage returns the usage of a sandbox that has ended: the last counters.
func (l *life) lastUsage() *snapshot.Usage {
	last := &snapshot.Usage{Reading: l.usage.found.WithoutGauges()}
	last.Interfaces = slices.Clone(last.Interfaces)
	l.usage.addShares(last, nil)
	return last
}
