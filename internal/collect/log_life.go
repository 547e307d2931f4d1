package collect

import "github.com/sandmeter/sandmeter/internal/failure"

// reason returns why the sandbox has no metrics; empty: it has metrics, or it has ended.
func (l *life) reason() failure.Reason {
	if l.failure == nil {
		return ""
	}
	return l.failure.Reason
}

// hasNews reports whether the state of the sandbox differs from the last one logged.
func (l *life) hasNews() bool {
	return l.reason() != l.logged && (l.failure != nil || l.now().runs())
}

// logChange logs that a sandbox lost or regained its metrics.
func (l *life) logChange(silence []any) {
	if l.failure == nil {
		l.options.Logger.Info("Sandbox has metrics again", append(l.attrs(), silence...)...)
		return
	}
	attrs := append(l.attrs(), "reason", l.failure.Reason, "err", l.failure)
	l.options.Logger.Warn("Sandbox has no metrics", append(attrs, silence...)...)
}

// logAppeared logs, at level debug, that the sandbox is served from now on.
func (l *life) logAppeared() {
	l.options.Logger.Debug("Sandbox appeared", append(l.attrs(), "pid", l.facts.PID)...)
}

// logDisappeared logs, at level debug, that the sandbox is no longer served, because its state file
// is gone or belongs to another sandbox.
func (l *life) logDisappeared() {
	l.options.Logger.Debug("Sandbox disappeared", l.attrs()...)
}

// logEnd logs, at level debug, how the sandbox ended.
func (l *life) logEnd() {
	attrs := append(l.attrs(), "outcome", l.end.Outcome)
	switch {
	case l.end.Code != 0:
		attrs = append(attrs, "exit_code", l.end.Code)
	case l.end.Signal != 0:
		attrs = append(attrs, "signal", l.end.Signal)
	}
	if l.end.OOMScope != "" {
		attrs = append(attrs, "oom_scope", l.end.OOMScope)
	}
	l.options.Logger.Debug("Sandbox ended", attrs...)
}
