package collect

import (
	"time"

	"github.com/sandmeter/sandmeter/internal/state"
)

// mention is how often the log has told of one sandbox lately. A hostile one could make it tell something new at each scrape.
type mention struct {
	since time.Time
	count int
}

// Of one sandbox the log tells so often in such a time.
const (
	maxMentions = 6
	mentionTime = 10 * time.Minute
)

// may counts another one, and reports whether it may be made and whether it is the last for now.
func (m *mention) may(now time.Time) (allowed, last bool) {
	if now.Sub(m.since) >= mentionTime {
		*m = mention{since: now}
	}
	m.count++
	return m.count <= maxMentions, m.count == maxMentions
}

// logFailures logs why sandboxes have no metrics: once a sandbox and reason, not once a scrape.
func (t *table) logFailures() {
	now := time.Now()
	for _, s := range t.sorted {
		again := s.failure == nil && s.logged != nil && s.running()
		if other := s.failure != nil && reason(s.failure) != reason(s.logged); again || other {
			t.logChange(s, now)
		}
		s.before = s.failure
	}
}

// logChange logs that a sandbox has metrics no more, or again. What must not be logged now is for a later scrape to log, if it is so still.
func (t *table) logChange(s *sandbox, now time.Time) {
	allowed, last := s.mention.may(now)
	if !allowed {
		return
	}
	attrs := []any{"sandbox", s.facts.ID()}
	if s.failure != nil {
		attrs = append(attrs, "reason", reason(s.failure), "err", s.failure)
	}
	if last {
		attrs = append(attrs, "silent_for", mentionTime-now.Sub(s.mention.since).Truncate(time.Second))
	}
	if s.failure != nil {
		t.options.Logger.Warn("Sandbox has no metrics", attrs...)
	} else {
		t.options.Logger.Info("Sandbox has metrics again", attrs...)
	}
	s.logged = s.failure
}

// logScrape logs for whoever debugs what a scrape was.
func (t *table) logScrape(began time.Time) {
	failed := 0
	for _, s := range t.sorted {
		if s.failure != nil {
			failed++
		}
	}
	t.options.Logger.Debug("Scrape", "sandboxes", len(t.sorted), "asked", len(t.able), "without_metrics", failed, "took", time.Since(began))
}

// logFileErrors logs which state files cannot be read: once a file and reason.
func (t *table) logFileErrors(errs []*state.FileError) {
	known := t.fileErrs
	t.fileErrs = make(map[string]string, len(errs))
	for _, e := range errs {
		text := e.Err.Error()
		t.fileErrs[e.Name] = text
		if known[e.Name] != text {
			t.options.Logger.Warn("State file cannot be read", "root", t.options.RootDir, "file", e.Name, "err", text)
		}
	}
}

// logNotInstrumented says once if there are sandboxes that have nothing to be asked for. That is how the most likely mistake shows.
func (t *table) logNotInstrumented(sandboxes []state.Sandbox) {
	if t.saidNotInstrumented || t.options.MatchAddress != "" || t.options.OnlySandbox != "" {
		return
	}
	for _, facts := range sandboxes {
		if f := &facts.Root.Sandbox; f.Registration == nil && f.PID > 0 {
			t.saidNotInstrumented = true
			t.options.Logger.Warn("A sandbox is not instrumented, and not served: create sandboxes with runsc's flag --metric-server, whatever "+
				"its value", "sandbox", facts.ID())
			return
		}
	}
}
