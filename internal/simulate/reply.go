package simulate

import (
	"math/rand/v2"
	"strings"
	"time"
)

// The methods that a sandbox supports.
const (
	MethodExport     = "Metrics.Export"
	MethodRegistered = "Metrics.GetRegisteredMetrics"
	MethodSavings    = "containerManager.GetSavings"
	MethodEvent      = "containerManager.Event"
)

// appendReply appends the honest reply to the request of x.
func (s *Sandbox) appendReply(b []byte, x *Exchange) []byte {
	switch x.Method {
	case MethodExport:
		if x.argError != nil {
			return appendError(b, x.argError.Error())
		}
		return s.appendExport(b, x.Filter)
	case MethodRegistered:
		b = append(b, `{"success":true,"err":"","result":{"RegisteredMetrics":`...)
		return append(append(b, s.schema.registration(s.order)...), "}}"...)
	case MethodSavings:
		b = append(b, `{"success":true,"err":"","result":`...)
		return append(append(b, mustJSON(s.savings)...), '}')
	case MethodEvent:
		if x.argError != nil {
			return appendError(b, x.argError.Error())
		}
		return s.appendEvent(b, x.Container)
	}
	return appendError(b, "unknown method")
}

// appendError appends the reply of a failed call. It replaces the name of our type by that of
// runsc's.
func appendError(b []byte, text string) []byte {
	text = strings.Replace(text, "simulate.metricsExportOpts", "control.MetricsExportOpts", 1)
	b = append(b, `{"success":false,"err":`...)
	return append(append(b, mustJSON(text)...), `,"result":null}`...)
}

// appendExport appends the reply to an Export.
func (s *Sandbox) appendExport(b []byte, filter string) []byte {
	matched, err := s.schema.match(filter)
	if err != nil {
		return appendError(b, err.Error())
	}
	if s.shuffleKeys {
		b = append(b, `{"result":{"snapshot":{`...)
		b = s.appendPoints(b, matched, `"data":[`, `],`)
		b = s.appendWhen(b)
		return append(b, `}},"err":"","success":true}`...)
	}
	b = append(b, `{"success":true,"err":"","result":{"snapshot":{`...)
	b = s.appendWhen(b)
	b = s.appendPoints(b, matched, `,"data":[`, `]`)
	return append(b, `}}}`...)
}

func (s *Sandbox) appendWhen(b []byte) []byte {
	b = append(b, `"when":"`...)
	b = s.now().UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// appendPoints appends the points between open and closing, or nothing if there are none. Their
// order is random, since runsc's is that of a Go map.
func (s *Sandbox) appendPoints(b []byte, matched []bool, open, closing string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(b)
	b = append(b, open...)
	first := len(b)
	n := len(s.series)
	at, stride := randomWalk(n)
	for range n {
		p := s.series[at]
		if at += stride; at >= n {
			at -= n
		}
		if p.metric.kind == 2 && p.other == nil {
			p.number += s.growth
		}
		if !p.sent() || matched != nil && !matched[p.metric.index] {
			continue
		}
		if len(b) > first {
			b = append(b, ',')
		}
		b = p.append(b)
	}
	if len(b) == first {
		return b[:before]
	}
	return append(b, closing...)
}

// randomWalk returns a start and a stride with which a walk modulo n visits every index once.
func randomWalk(n int) (at, stride int) {
	if n < 2 {
		return 0, 0
	}
	at, stride = rand.IntN(n), 1+rand.IntN(n-1)
	for gcd(stride, n) != 1 {
		stride = 1 + stride%(n-1)
	}
	return at, stride
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
