package verify

import (
	"math/bits"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/schema"
)

// maxAge is how old a snapshot may be when it arrives.
const maxAge = 10 * time.Second

// A Verifier checks answers, one at a time. What it needs for that is reused, so one of them serves any number of sandboxes. It is not
// safe for concurrent use.
type Verifier struct {
	schema *schema.Schema
	wanted []bool

	when       time.Time
	values     []value  // by series; what is there is meant only where seen says so
	seen       []uint64 // bit set of series
	histograms []Histogram
	merged     []Sample
}

// value is what an answer says of a series.
type value struct {
	metric int32
	number int64 // like Sample.Value, an index into Verifier.histograms for a histogram
}

// Export checks the answer to an Export request: a snapshot of a sandbox with the given schema, asked only for wanted metrics (nil:
// all), received at now. If it keeps all the rules, it becomes the sandbox's baseline. If not, the baseline stays as it was, and the
// error is ErrIncomplete or a *Breach.
func (v *Verifier) Export(reply control.Reply, s *schema.Schema, wanted []bool, last *Baseline, now time.Time) error {
	v.begin(s, wanted)
	defer v.clear()
	data := reply.Untrusted()
	if !v.readExpected(data) {
		// Not the form that runsc gives its answers, or not an honest one. The general reader knows which.
		v.clear()
		if err := v.read(data); err != nil {
			return err
		}
	}
	if err := v.checkTime(last, now); err != nil {
		return err
	}
	if err := v.checkProgress(last); err != nil {
		return err
	}
	v.commit(last)
	return nil
}

func (v *Verifier) begin(s *schema.Schema, wanted []bool) {
	v.schema, v.wanted = s, wanted
	if len(v.values) < s.Series {
		v.values = make([]value, s.Series)
		v.seen = make([]uint64, (s.Series+63)/64)
	}
}

// clear forgets what was read.
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
	case v.wanted != nil && !v.wanted[metric]:
		return breach(RuleFilter, m.Name, "")
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
	case v.when.Before(last.time) && !last.time.After(now): // a last time that is ahead of now is from before the clock was set back
		return breach(RuleOrder, "", "by %v", last.time.Sub(v.when))
	}
	return nil
}

// checkProgress holds the answer against the last one. A counter or histogram that is not sent is zero.
func (v *Verifier) checkProgress(last *Baseline) error {
	for _, s := range last.samples {
		if v.wanted != nil && !v.wanted[s.Metric] {
			continue
		}
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
			now := &Histogram{Counts: make([]uint64, len(m.Bounds)+1)}
			if v.has(s.Series) {
				now = &v.histograms[v.values[s.Series].number]
			}
			if err := checkHistogramProgress(m.Name, last.Histogram(s), now); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkHistogramProgress(metric string, last, now *Histogram) error {
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

// commit makes the answer the baseline. Metrics that were not asked for keep their last values in it: they are what the next full
// answer is measured against.
func (v *Verifier) commit(last *Baseline) {
	v.merged = v.merged[:0]
	var histograms []Histogram
	add := func(s Sample, from []Histogram) {
		if v.schema.Metrics[s.Metric].Type == schema.Histogram {
			histograms = append(histograms, from[s.Value])
			s.Value = int64(len(histograms) - 1)
		}
		v.merged = append(v.merged, s)
	}
	old := last.samples
	if v.wanted == nil {
		old = nil
	}
	for word := range v.seen[:(v.schema.Series+63)/64] {
		for set := v.seen[word]; set != 0; set &= set - 1 {
			series := uint32(word*64 + bits.TrailingZeros64(set))
			for ; len(old) > 0 && old[0].Series <= series; old = old[1:] {
				if !v.wanted[old[0].Metric] {
					add(old[0], last.histograms)
				}
			}
			now := v.values[series]
			add(Sample{now.metric, series, now.number}, v.histograms)
		}
	}
	for _, s := range old {
		if !v.wanted[s.Metric] {
			add(s, last.histograms)
		}
	}
	last.samples = append(last.samples[:0], v.merged...)
	last.histograms = histograms
	last.time = v.when
}
