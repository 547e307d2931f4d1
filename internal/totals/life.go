package totals

import (
	"cmp"
	"slices"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// A Life is what was counted of one life of a sandbox. It belongs to its Ledger, and follows the
// same rule of concurrency.
type Life struct {
	ledger *Ledger
	group  *group
	older  bool // than the server
	ended  bool

	bases []int64 // the last values, by sum
	known uint64  // bit i: bases[i] was observed

	interfaces []networkInterface // all that were ever observed, up to a limit
}

// networkInterface has the last values of an interface.
type networkInterface struct {
	name  string
	bases [2]int64 // received, transmitted
}

// maxInterfaces limits the interfaces that are counted in a life, as host limits those of a reading.
const maxInterfaces = 64

// Observe counts what grew since the last call. Values that are absent keep their base, so nothing
// is lost when they come back. A value that fell began again at 0: all of it is growth. After End,
// Observe does nothing. Nothing of s is kept but the names of its network interfaces, and nothing is
// allocated once these are known.
func (l *Life) Observe(s *snapshot.Sandbox) {
	if l.ended {
		return
	}
	l.observeUsage(s.Usage)
	l.observeReported(&s.Reported)
}

// End observes the last values and counts the end, by s.End. What is not known of the life is not in
// its histograms. A sandbox that is older than the server counts as ended, and its histograms are
// about its whole life; so more sandboxes may have ended than started. Only the first call has an
// effect.
func (l *Life) End(s *snapshot.Sandbox) {
	if l.ended {
		return
	}
	l.Observe(s)
	l.ended = true
	end := s.End
	if end == nil {
		end = &snapshot.End{Outcome: snapshot.Unknown}
	}
	l.group.countEnd(end.Outcome)
	l.ledger.last = nil
	distribute(&l.group.lifetimes, int64(end.Lifetime), end.Lifetime > 0)
	distribute(&l.group.memoryPeaks, end.MemoryPeak, end.MemoryPeak > 0)
	if s.Usage != nil {
		cpu, ok := s.Usage.Get(fact.CPU)
		distribute(&l.group.cpuTimes, cpu, ok)
	}
}

func distribute(d *distribution, value int64, known bool) {
	if known {
		d.observe(value)
	}
}

func (l *Life) observeUsage(u *snapshot.Usage) {
	if u == nil {
		return
	}
	if cpu, ok := u.Get(fact.CPU); ok {
		l.count(sumCPU, cpu)
	}
	if kills, ok := u.Get(fact.OOMKills); ok {
		l.count(sumOOMKills, kills)
	}
	first := len(l.interfaces) == 0 // no interface was known before this observation
	for i := range u.Interfaces {
		l.observeInterface(&u.Interfaces[i], first)
	}
}

// observeInterface counts the growth of one interface by itself: one that goes away must not hide
// the growth of others.
func (l *Life) observeInterface(now *fact.Interface, first bool) {
	i := l.interfaceNamed(now.Name)
	if i == nil {
		return
	}
	for k, counter := range [...]int{fact.ReceiveBytes, fact.TransmitBytes} {
		value := now.Counters[counter]
		if first && l.older {
			i.bases[k] = value
		}
		l.grow(sumReceived+k, growth(i.bases[k], value))
		i.bases[k] = value
	}
}

// interfaceNamed returns the interface with the name, or nil if there are too many.
func (l *Life) interfaceNamed(name string) *networkInterface {
	for i := range l.interfaces {
		if l.interfaces[i].name == name {
			return &l.interfaces[i]
		}
	}
	if len(l.interfaces) == maxInterfaces {
		return nil
	}
	l.interfaces = append(l.interfaces, networkInterface{name: name})
	return &l.interfaces[len(l.interfaces)-1]
}

// observeReported counts the registered counters. Sandboxes do not send counters that are 0.
func (l *Life) observeReported(reported *snapshot.Source) {
	if reported.Schema == nil {
		return
	}
	l.ledger.learn(reported.Schema)
	for i := range l.ledger.counters {
		if metric := l.ledger.find(reported.Schema, i); metric >= 0 {
			l.count(sums+i, total(samplesOf(reported, metric)))
		}
	}
}

// total returns the sum of the samples.
func total(samples []snapshot.Sample) (sum int64) {
	for _, s := range samples {
		sum = add(sum, max(0, s.Value))
	}
	return sum
}

// samplesOf returns the samples of a metric, by its index in the schema.
func samplesOf(src *snapshot.Source, metric int) []snapshot.Sample {
	from, _ := slices.BinarySearchFunc(src.Samples, int32(metric), func(s snapshot.Sample, metric int32) int { return cmp.Compare(s.Metric, metric) })
	to := from
	for to < len(src.Samples) && src.Samples[to].Metric == int32(metric) {
		to++
	}
	return src.Samples[from:to]
}

// count counts the growth of a value. The first value of a sandbox that is older than the server is
// a base only; other sandboxes began at 0.
func (l *Life) count(sum int, value int64) {
	bit := uint64(1) << sum
	if l.known&bit == 0 && l.older {
		l.bases[sum] = value
	}
	l.known |= bit
	l.grow(sum, growth(l.bases[sum], value))
	l.bases[sum] = value
}

// growth returns how much a value grew. A value that fell began again at 0.
func growth(base, value int64) int64 {
	if value < base {
		return max(0, value)
	}
	return value - base
}

func (l *Life) grow(sum int, by int64) {
	if by > 0 {
		l.group.sums[sum] = add(l.group.sums[sum], by)
		l.ledger.last = nil
	}
}
