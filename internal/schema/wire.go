package schema

import (
	"encoding/json"
	"fmt"
)

// The longest forms of the parts of a reply, to compute its largest possible length.
const (
	replyFrame    = `{"success":true,"err":"","result":{"snapshot":{"when":"2006-01-02T15:04:05.999999999+00:00","data":[]}}}`
	pointFrame    = `{"metric":{"name":"},"labels":{},"val":{"int":-9223372036854775808}},`
	histFrame     = `"histogram":{"total":{},"min":{},"max":{},"ssd":{},"buckets":[]}`
	bucketFrame   = `{"le":{},"n":},`
	numberLength  = len(`"float":-1.7976931348623157e+308`)
	numbersOfHist = 4
)

// wireDefinition returns the rest of a metric's definition after the name, in the form in which
// runsc encodes it. A sandbox sends the definition with each point.
func wireDefinition(m *Metric) []byte {
	help, err := json.Marshal(m.Help)
	if err != nil { // cannot happen: every string has an encoding
		panic(err)
	}
	return fmt.Appendf(nil, `","type":%d,"help":%s}`, m.WireType, help)
}

// maxPoints returns how many bytes the points of all series of m can have. It saturates, since
// registrations near the limits make it very large.
func maxPoints(m *Metric) int {
	const enough = 1 << 30
	point := len(pointFrame) + len(m.Name) + len(m.Definition)
	for i := range m.Fields {
		point += jsonLength(m.Fields[i].Name) + longest(m.Fields[i].Values, jsonLength) + len(`:,`)
	}
	if m.Type == Histogram {
		point += len(histFrame) + numbersOfHist*numberLength + (len(m.Bounds)+1)*(len(bucketFrame)+2*numberLength)
	}
	return min(point*int(m.Series), enough)
}

func jsonLength(s string) int {
	quoted, err := json.Marshal(s)
	if err != nil { // cannot happen: every string has an encoding
		panic(err)
	}
	return len(quoted)
}
