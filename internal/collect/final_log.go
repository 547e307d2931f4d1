package collect

import "github.com/sandmeter/sandmeter/internal/snapshot"

// finalLog is what was read of the final metrics log of a sandbox.
type finalLog struct{}

// readFinalLog reads the final metrics log of a sandbox that has ended. The caller does not hold mu.
func (c *Collector) readFinalLog(*sandbox) finalLog { return finalLog{} }

// takeFinalLog makes a final metrics log the last values of a sandbox, and returns where the last
// values are from.
func (c *Collector) takeFinalLog(s *sandbox, _ finalLog) snapshot.Origin {
	if s.sampled() {
		return snapshot.FromSample
	}
	return snapshot.NoOrigin
}
