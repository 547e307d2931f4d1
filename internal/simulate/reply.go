package simulate

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"time"
)

// The methods that a sandbox supports, of those of runsc.
const (
	MethodExport  = "Metrics.Export"
	MethodSavings = "containerManager.GetSavings"
	MethodEvent   = "containerManager.Event"
)

// appendReply appends the honest reply to the request of x.
func (s *Sandbox) appendReply(b []byte, x *Exchange) []byte {
	switch x.Method {
	case MethodExport:
		if x.argError != nil {
			return appendError(b, x.argError.Error())
		}
		return s.appendExport(b, x.Filter)
	case MethodSavings:
		b = append(b, `{"success":true,"err":"","result":`...)
		return append(append(b, mustJSON(s.begun.SavedAtRestore)...), '}')
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
	matched, err := match(filter)
	if err != nil {
		return appendError(b, err.Error())
	}
	if s.begun.ShuffleKeys {
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
	b = s.begun.Now().UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// appendPoints appends the points between open and closing, or nothing if there are none. Their
// order is random, since runsc's is that of a Go map.
func (s *Sandbox) appendPoints(b []byte, matched *regexp.Regexp, open, closing string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(b)
	b = append(b, open...)
	first := len(b)
	for _, i := range rand.Perm(len(s.series)) {
		p := s.series[i]
		if p.metric.kind == 2 && p.other == nil {
			p.number += s.begun.Growth
		}
		if !p.sent() || matched != nil && !matched.MatchString(p.metric.PrometheusName) {
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
