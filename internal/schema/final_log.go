package schema

import "strings"

// The longest forms of the parts of a final metrics log, which is text in Prometheus's format, to
// compute its largest possible length.
const (
	finalFrame = "# Writing data from snapshot containing 1048576 data points taken at " +
		"2006-01-02 15:04:05.999999999 -0700  m=+9223372036.999999999.\n\n\n# End of metric data.\n"
	finalFamily  = "\n# HELP runsc_ \n# TYPE runsc_ counter\n"
	finalSample  = "runsc_{} -9223372036854775808 9223372036854775807\n"
	finalLabel   = `="",`
	maxFinalZone = 64 // bytes of the name of a time zone
)

var (
	helpEscapes  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	labelEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

// EscapeHelp returns a help text as it stands in Prometheus's text format.
func EscapeHelp(help string) string { return helpEscapes.Replace(help) }

// EscapeLabel returns the value of a label as it stands in Prometheus's text format.
func EscapeLabel(value string) string { return labelEscapes.Replace(value) }

// MaxFinalLog returns the length in bytes of the longest final metrics log that runsc writes, which
// has every counter and gauge. It saturates like MaxReply.
func (s *Schema) MaxFinalLog() int {
	size := len(finalFrame) + maxFinalZone
	for i := range s.Metrics {
		size += maxFinalFamily(&s.Metrics[i])
	}
	return size
}

// maxFinalFamily returns how many bytes the lines about m can have.
func maxFinalFamily(m *Metric) int {
	const enough = 1 << 30
	sample := len(finalSample) + len(m.Name)
	for i := range m.Fields {
		sample += len(m.Fields[i].Name) + len(finalLabel) + longest(m.Fields[i].Values, func(v string) int { return len(EscapeLabel(v)) })
	}
	return min(len(finalFamily)+2*len(m.Name)+len(EscapeHelp(m.Help))+sample*int(m.Series), enough)
}
