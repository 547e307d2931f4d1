package schema

import (
	"encoding/json"
	"fmt"
)

// The longest forms of the parts of a reply, for its largest possible length.
const (
	replyFrame    = `{"success":true,"err":"","result":{"snapshot":{"when":"2006-01-02T15:04:05.999999999+00:00","data":[]}}}`
	pointFrame    = `{"metric":{"name":"},"labels":{},"val":{"int":-9223372036854775808}},`
	histFrame     = `"histogram":{"total":{},"min":{},"max":{},"ssd":{},"buckets":[]}`
	bucketFrame   = `{"le":{},"n":},`
	numberLength  = len(`"float":-1.7976931348623157e+308`)
	numbersOfHist = 4
)

// wireDefinition returns what stands behind the name in the definition of a metric that a sandbox sends with each point, in the form
// that runsc's encoder gives it.
func wireDefinition(m *Metric) []byte {
	help, err := json.Marshal(m.Help)
	if err != nil { // a string has no reason to fail
		panic(err)
	}
	return fmt.Appendf(nil, `","type":%d,"help":%s}`, m.WireType, help)
}

// maxPoints is how many bytes the points of all series of m can have. Registrations near the limits make it large, so it saturates.
func maxPoints(m *Metric) int {
	const enough = 1 << 30
	point := len(pointFrame) + len(m.Name) + len(m.Definition)
	for i := range m.Fields {
		longest := 0
		for _, v := range m.Fields[i].Values {
			longest = max(longest, jsonLength(v))
		}
		point += jsonLength(m.Fields[i].Name) + longest + len(`:,`)
	}
	if m.Type == Histogram {
		point += len(histFrame) + numbersOfHist*numberLength + (len(m.Bounds)+1)*(len(bucketFrame)+2*numberLength)
	}
	return min(point*int(m.Series), enough)
}

func jsonLength(s string) int {
	quoted, err := json.Marshal(s)
	if err != nil { // a string has no reason to fail
		panic(err)
	}
	return len(quoted)
}
