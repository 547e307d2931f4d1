package verify

import (
	"time"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// A Baseline is a verified reply of one sandbox. Snapshots show its samples, and the next reply is
// compared with them. It is an immutable value that may be shared: the next reply makes another
// Baseline. The zero value is the baseline of a sandbox that has not replied.
type Baseline struct {
	When       time.Time            // when the sandbox took its samples, by the host's clock; zero: it has not replied yet
	Samples    []snapshot.Sample    // all samples of the reply, sorted by Series, and so by Metric too
	Histograms []snapshot.Histogram // one for each sample of a histogram metric, in the order of the samples
}

func (b *Baseline) histogram(s snapshot.Sample) *snapshot.Histogram { return &b.Histograms[s.Value] }
