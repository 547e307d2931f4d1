package collect

import (
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/guard"
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

// readFinalLog reads the final metrics log of a life that has ended. The caller does not hold mu.
func (c *Collector) readFinalLog(l *life) finalLog {
	c.mu.Lock()
	id, registered, final := l.facts.ID, l.schema(), l.final()
	if l.end != nil || l.origin == stale || final == nil || final.outcome == snapshot.Vanished {
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
	read := guard.Each(c.guard, lookLimit, []string{filepath.Dir(path)}, func(int, guard.Progress) finalLog {
		reply, err := control.ReadFinalLog(path, min(registered.MaxFinalLog(), maxReply))
		return finalLog{reply, registered, err}
	})
	if log, answered := read[0]; answered {
		return log
	}
	return finalLog{err: errHung}
}

// schema returns the schema of the sandbox, or nil.
func (l *life) schema() *schema.Schema {
	if l.compiled == nil {
		return nil
	}
	return l.compiled.schema
}

// takeFinalLog makes a final metrics log the last values of a sandbox if it keeps all rules, and
// returns where the last values are from. The sandbox can write anything to its log, so a log that
// breaks one only costs the sandbox its last values.
func (c *Collector) takeFinalLog(l *life, log finalLog) snapshot.Origin {
	if log.err == nil && log.schema != l.schema() {
		log.err = errNoLog // its registration has changed meanwhile
	}
	if log.err == nil {
		var next verify.Baseline
		next, log.err = c.verifier.FinalLog(log.reply, log.schema, l.baseline, l.created(), l.final().at)
		if log.err == nil {
			before := l.baseline
			f := l.commit(next)
			if f == nil {
				return snapshot.FromFinalLog
			}
			l.baseline, log.err = before, f
		}
	}
	l.logFinalLog(log.err)
	if l.sampled() {
		return snapshot.FromSample
	}
	return snapshot.NoOrigin
}

// created returns when the sandbox was created, by the clock of its end. If the clock has been set back
// beyond the creation, that is when its process began, which the kernel knows in time since the boot.
func (l *life) created() time.Time {
	if began := l.process.Began(); l.facts.CreatedAt.After(l.final().at) && !began.IsZero() {
		return began
	}
	return l.facts.CreatedAt
}

// logFinalLog logs that a final metrics log was refused. That there is none is usual: runsc writes it
// at a regular end only.
func (l *life) logFinalLog(err error) {
	if err == nil || errors.Is(err, errNoLog) || errors.Is(err, control.ErrNoFinalMetrics) || errors.Is(err, fs.ErrNotExist) {
		return
	}
	l.counts.refusedLogs++
	if allowed, silence := l.refusedLines.take(l.clock.Now()); allowed { // one budget for all, since a sandbox has one log only
		l.options.Logger.Warn("Final metrics log is refused", append(append(l.attrs(), "err", err), silence...)...)
	}
}
