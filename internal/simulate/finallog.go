package simulate

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// makeFinalLog makes the final metrics log, if there is one, as runsc does before it starts a
// sandbox. The sandbox keeps it open.
func (s *Sandbox) makeFinalLog() (err error) {
	if s.spec.FinalLog != "" {
		s.finalLog, err = os.Create(s.spec.FinalLog)
	}
	return err
}

// writeFinalLog writes the final metrics log, if there is one, and closes it.
func (s *Sandbox) writeFinalLog() error {
	if s.finalLog == nil {
		return nil
	}
	log := s.renderFinalLog(time.Now())
	if edit := s.spec.EditFinalLog; edit != nil {
		log = edit(log)
	}
	_, err := s.finalLog.Write(log)
	return errors.Join(err, s.finalLog.Close())
}

// renderFinalLog returns the values as runsc writes them when a sandbox ends: the series that it
// would send. Histograms and floats are left out, since runsc has none.
func (s *Sandbox) renderFinalLog(now time.Time) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := slices.DeleteFunc(slices.Clone(s.series), func(p *series) bool { return !p.sent() || p.other != nil || p.metric.kind == 3 })
	slices.SortStableFunc(sent, func(a, b *series) int { return cmp.Compare(a.metric.PrometheusName, b.metric.PrometheusName) })
	b := fmt.Appendf(nil, "# Writing data from snapshot containing %d data points taken at %s m=+1.000000000.\n\n", len(sent), now.Round(0))
	for i, p := range sent {
		if i == 0 || sent[i-1].metric != p.metric {
			b = append(b, p.metric.finalHead()...)
		}
		b = fmt.Appendf(b, "runsc_%s%s %d %d\n", p.metric.PrometheusName, finalLabels(p.labels), p.number, now.UnixMilli())
	}
	return append(b, "\n# End of metric data.\n"...)
}

var (
	escapeHelp  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	escapeValue = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

// finalHead returns the lines before the samples of a counter or gauge.
func (m *metric) finalHead() string {
	name, kind := "runsc_"+m.PrometheusName, "gauge"
	if m.Cumulative {
		kind = "counter"
	}
	return fmt.Sprintf("\n# HELP %s %s\n# TYPE %s %s\n", name, escapeHelp.Replace(m.Description), name, kind)
}

// finalLabels returns labels, which are JSON or empty, as Prometheus's text format has them.
func finalLabels(encoded string) string {
	if encoded == "" {
		return ""
	}
	var labels map[string]string
	if err := json.Unmarshal([]byte(encoded), &labels); err != nil {
		panic("simulate: " + err.Error())
	}
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		texts = append(texts, name+`="`+escapeValue.Replace(labels[name])+`"`)
	}
	return "{" + strings.Join(texts, ",") + "}"
}
