package verify

import (
	"math/bits"
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// maxAge is how old the samples of a reply may be when it arrives.
const maxAge = 10 * time.Second

// A Verifier checks replies, one at a time. It reuses its memory from reply to reply, and one
// Verifier serves any number of sandboxes. It is not safe for concurrent use.
type Verifier struct {
	schema *schema.Schema

	when       time.Time
	values     []value  // by series; valid only where seen has the bit
	seen       []uint64 // bit set of series
	histograms []snapshot.Histogram
	samples    []snapshot.Sample
}

// value is the value of one series in a reply.
type value struct {
	metric int32
	number int64 // like Sample.Value, an index into Verifier.histograms for a histogram
}

// Export checks the reply to an Export request: all metrics of a sandbox with the given schema,
// received at now. If the reply keeps all rules, Export returns it as the sandbox's next baseline,
// which shares the memory of the last one if the samples are equal. The error is ErrIncomplete or a
// *Breach; the next reply is then compared with the same last baseline.
func (v *Verifier) Export(reply control.Reply, s *schema.Schema, last Baseline, now time.Time) (Baseline, error) {
	v.begin(s)
	defer v.clear()
	data := reply.Untrusted()
	if !v.readExpected(data) {
		// The reply has another form than runsc's, or breaks a rule. The general reader finds out
		// which.
		v.clear()
		if err := v.read(data); err != nil {
			return Baseline{}, err
		}
	}
	if err := v.checkTime(&last, now); err != nil {
		return Baseline{}, err
	}
	if err := v.checkProgress(&last); err != nil {
		return Baseline{}, err
	}
	return v.baseline(&last), nil
}

func (v *Verifier) begin(s *schema.Schema) {
	v.schema = s
	if len(v.values) < s.Series {
		v.values = make([]value, s.Series)
		v.seen = make([]uint64, (s.Series+63)/64)
	}
}

// clear resets the verifier after a reply.
func (v *Verifier) clear() {
	clear(v.seen[:(v.schema.Series+63)/64])
	clear(v.histograms)
	v.histograms = v.histograms[:0]
	v.when = time.Time{}
}

func (v *Verifier) has(series uint32) bool { return v.seen[series/64]&(1<<(series%64)) != 0 }

// put records the value of a series, unless that breaks a rule.
func (v *Verifier) put(metric int, series uint32, number int64) *Breach {
	m := &v.schema.Metrics[metric]
	word, bit := series/64, uint64(1)<<(series%64)
	switch {
	case v.seen[word]&bit != 0:
		return breach(RuleSeriesTwice, m.Name, "")
	case m.Type == schema.Counter && number < 0:
		return breach(RuleNegative, m.Name, "%d", number)
	}
	v.seen[word] |= bit
	v.values[series] = value{int32(metric), number}
	return nil
}

func (v *Verifier) checkTime(last *Baseline, now time.Time) error {
	switch {
	case v.when.After(now):
		return breach(RuleFuture, "", "by %v", v.when.Sub(now))
	case now.Sub(v.when) > maxAge:
		return breach(RuleStale, "", "%v", now.Sub(v.when))
	case v.when.Before(last.When) && !last.When.After(now): // a last time after now means that the clock was set back since
		return breach(RuleOrder, "", "by %v", last.When.Sub(v.when))
	}
	return nil
}

// checkProgress compares the reply with the last one. A counter or histogram that is not in the
// reply is zero: runsc leaves out zeros.
func (v *Verifier) checkProgress(last *Baseline) error {
	for _, s := range last.Samples {
		m := &v.schema.Metrics[s.Metric]
		switch m.Type {
		case schema.Counter:
			now := int64(0)
			if v.has(s.Series) {
				now = v.values[s.Series].number
			}
			if now < s.Value {
				return breach(RuleDecrease, m.Name, "from %d to %d", s.Value, now)
			}
		case schema.Histogram:
			now := &snapshot.Histogram{Counts: make([]uint64, len(m.Bounds)+1)}
			if v.has(s.Series) {
				now = &v.histograms[v.values[s.Series].number]
			}
			if err := checkHistogramProgress(m.Name, last.histogram(s), now); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkHistogramProgress(metric string, last, now *snapshot.Histogram) error {
	for i, n := range now.Counts {
		if n < last.Counts[i] {
			return breach(RuleBucket, metric, "bucket %d from %d to %d", i, last.Counts[i], n)
		}
	}
	switch {
	case last.Count() == 0:
		return nil
	case now.SSD < last.SSD:
		return breach(RuleDeviation, metric, "from %g to %g", last.SSD, now.SSD)
	case now.Min.Compare(last.Min) > 0:
		return breach(RuleMin, metric, "from %g to %g", last.Min.AsFloat(), now.Min.AsFloat())
	case now.Max.Compare(last.Max) < 0:
		return breach(RuleMax, metric, "from %g to %g", last.Max.AsFloat(), now.Max.AsFloat())
	}
	return nil
}

// baseline returns the values that were read as a baseline, after all rules were checked.
func (v *Verifier) baseline(last *Baseline) Baseline {
	v.samples = v.samples[:0]
	var histograms []snapshot.Histogram
	for word := range v.seen[:(v.schema.Series+63)/64] {
		for set := v.seen[word]; set != 0; set &= set - 1 {
			series := uint32(word*64 + bits.TrailingZeros64(set))
			value := v.values[series]
			if v.schema.Metrics[value.metric].Type == schema.Histogram {
				histograms = append(histograms, v.histograms[value.number])
				value.number = int64(len(histograms) - 1)
			}
			v.samples = append(v.samples, snapshot.Sample{Metric: value.metric, Series: series, Value: value.number})
		}
	}
	next := Baseline{When: v.when, Samples: last.Samples, Histograms: histograms}
	if !slices.Equal(v.samples, last.Samples) {
		next.Samples = slices.Clone(v.samples)
	}
	return next
}
