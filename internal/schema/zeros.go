package schema

import "slices"

// Zeros selects the counters that pages show as 0 if a sandbox did not send them. Sandboxes do not
// send counters that are zero, but without the 0 Prometheus's increase() misses the first increment.
type Zeros struct {
	Plain bool     // all counters without fields
	Names []string // counters with fields, by name without prefix: all their series, which can be many
}

// ShowZeros sets Zero of the selected metrics. Call it before others use the schema.
func (s *Schema) ShowZeros(which Zeros) {
	for i := range s.Metrics {
		m := &s.Metrics[i]
		if m.Type != Counter || !(which.Plain && len(m.Fields) == 0 || slices.Contains(which.Names, m.Name)) {
			continue
		}
		m.Zero = true
	}
	s.countZeros()
}

// countZeros sets Zeros.
func (s *Schema) countZeros() {
	s.Zeros = Size{}
	for i := range s.Metrics {
		if m := &s.Metrics[i]; m.Zero {
			s.Zeros.Series += int(m.Series)
			s.Zeros.Bytes += int(m.Series) * m.LineSize
		}
	}
}
