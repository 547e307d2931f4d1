package verify

import (
	"time"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// A Baseline is a verified reply of one sandbox: what a snapshot shows of it, and what its next reply is measured against. It is an
// immutable value that may be shared: the next reply makes another one. The zero value is that of a sandbox that has not replied.
type Baseline struct {
	When       time.Time            // when the sandbox took its samples, by the host's clock; zero: it has not replied
	Samples    []snapshot.Sample    // of the whole reply, by Series, and so by Metric too
	Histograms []snapshot.Histogram // of the samples of histograms, in their order
}

func (b *Baseline) histogram(s snapshot.Sample) *snapshot.Histogram { return &b.Histograms[s.Value] }
