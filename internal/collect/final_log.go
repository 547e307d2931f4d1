package collect

import (
	"errors"
	"io/fs"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// finalLog is what was read of the final metrics log of a sandbox.
type finalLog struct {
	reply  control.Reply
	schema *schema.Schema // of the sandbox when it was read
	err    error          // why there is none
}

var errNoLog = errors.New("sandboxes leave no final metrics log")

// readFinalLog reads the final metrics log of a sandbox that has ended. The caller does not hold mu.
func (c *Collector) readFinalLog(s *sandbox) finalLog {
	c.mu.Lock()
	id, registered := s.facts.ID, s.schema()
	if s.end != nil || s.stale || s.vanished {
		registered = nil
	}
	c.mu.Unlock()
	if c.options.FinalLog == "" || registered == nil {
		return finalLog{err: errNoLog}
	}
	path, err := config.FinalMetricsLog(c.options.FinalLog, id)
	if err != nil {
		return finalLog{err: err}
	}
	reply, err := control.ReadFinalLog(path, min(registered.MaxFinalLog(), maxReply))
	return finalLog{reply, registered, err}
}

// schema returns the schema of the sandbox, or nil.
func (s *sandbox) schema() *schema.Schema {
	if s.compiled == nil {
		return nil
	}
	return s.compiled.schema
}

// takeFinalLog makes a final metrics log the last values of a sandbox if it keeps all rules, and
// returns where the last values are from. The sandbox can write anything to its log, so a log that
// breaks one only costs the sandbox its last values.
func (c *Collector) takeFinalLog(s *sandbox, log finalLog) snapshot.Origin {
	if log.err == nil && log.schema != s.schema() {
		log.err = errNoLog // its registration has changed meanwhile
	}
	if log.err == nil {
		var next verify.Baseline
		next, log.err = c.verifier.FinalLog(log.reply, log.schema, s.baseline, s.facts.CreatedAt, s.final().at)
		if log.err == nil {
			before := s.baseline
			f := s.commit(next)
			if f == nil {
				return snapshot.FromFinalLog
			}
			s.baseline, log.err = before, f
		}
	}
	s.logFinalLog(log.err)
	if s.sampled() {
		return snapshot.FromSample
	}
	return snapshot.NoOrigin
}

// logFinalLog logs that a final metrics log was refused. That there is none is usual: runsc writes it
// at a regular end only.
func (s *sandbox) logFinalLog(err error) {
	t := s.inventory.table
	if err == nil || errors.Is(err, errNoLog) || errors.Is(err, control.ErrNoFinalMetrics) || errors.Is(err, fs.ErrNotExist) {
		return
	}
	t.collector.counts.refusedLogs++
	now := t.now()
	if allowed, last := t.refusedLogs.take(now); allowed { // one budget for all, since a sandbox has one log only
		t.options.Logger.Warn("Final metrics log is refused", append(append(s.attrs(), "err", err), t.refusedLogs.silence(last, now)...)...)
	}
}
