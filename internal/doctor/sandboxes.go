package doctor

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/sandmeter/sandmeter/internal/failure"
)

// A meaning says what a reason means, and what to change.
type meaning struct {
	level         Level
	means, change string
}

// meanings has the reasons why a sandbox has no metrics, by their names, which are the names of
// causes too. README.md has the same advice.
var meanings = map[string]meaning{
	string(failure.Stalled): {Problem, "there was no whole reply in the sandbox's time",
		"see whether the sandbox is starved of CPU; if not, it may be hostile"},
	string(failure.OutOfTime): {Warning, "the collection ended before the sandbox was reached",
		"run this command again; on a server, raise scrape_timeout"},
	string(failure.Unreachable): {Problem, "it has no control socket, or nothing listens there",
		"right after a checkpoint this passes; otherwise its kernel is broken: restart the sandbox"},
	string(failure.RootHung): {Problem, "the file system of its runtime root does not answer",
		"repair or unmount the file system: it may be FUSE with a dead daemon, or NFS"},
	string(failure.PermissionDenied): {Problem, "connecting to the control socket takes write permission on it",
		"run as root, or as a user with CAP_DAC_OVERRIDE"},
	string(failure.WrongPeer): {Problem, "another process listens on its control socket",
		"find out which process took the socket"},
	string(failure.Closed): {Problem, "it closed the connection in the middle of its reply",
		"look into runsc's log of the sandbox"},
	string(failure.TooLong): {Problem, "its reply is longer than an honest one can be",
		"treat the sandbox as hostile"},
	string(failure.ReplyBudget): {Problem, "the replies of all sandboxes take too much memory, and its reply was among the largest",
		"look for sandboxes that report far more than others"},
	string(failure.PageBudget): {Problem, "the page would be too long, and its metrics were among the largest",
		"look for sandboxes that report far more than others"},
	string(failure.ReplyRefused): {Problem, "its reply breaks a rule",
		"treat the sandbox as hostile, unless the wall clock was set or runsc was upgraded under it"},
	string(failure.TextsRefused): {Problem, "its names, metadata or capabilities are longer or more than fit on a page",
		"find out who named it"},
	string(failure.Internal): {Problem, "the server lacks file descriptors or memory, or has a bug",
		"raise the limit on open files (LimitNOFILE= in the unit); if that is high enough, report the error"},
	string(failure.RegistrationRefused): {Problem, "its registration breaks a rule",
		"report it: no runsc does this"},
	string(failure.RegistrationMismatch): {Problem, "its reply does not fit the registration of its build of runsc",
		"check that --registration or --runsc is of the runsc that started it; if so, treat the sandbox as hostile"},
	string(failure.RegistrationIncomplete): {Problem, "its kernel is a program of its own, and reports a metric that runsc does not print",
		"create sandboxes with --metric-server; if that changes nothing, treat the sandbox as hostile"},
	string(failure.NotInstrumented): {Problem, "it has no registration of its own, and that of its build is not known",
		"name its runsc with --runsc, or save the output of runsc metric-metadata and name the file with --registration"},
}

// reasons are those that running sandboxes have, in the order of their findings.
var reasons = failure.Reasons

// causesOfSandboxes returns the causes that have the names of reasons.
func causesOfSandboxes() []Cause {
	var causes []Cause
	for _, r := range reasons {
		causes = append(causes, Cause{string(r), meanings[string(r)].level})
	}
	return causes
}

// whats say what is wrong with sandboxes, after their number and a colon.
var whats = map[failure.Reason]string{
	failure.Stalled:                "stalled",
	failure.OutOfTime:              "not reached in time",
	failure.Unreachable:            "nothing listens on the control socket",
	failure.RootHung:               "the runtime root does not answer",
	failure.PermissionDenied:       "no permission to connect to the control socket",
	failure.WrongPeer:              "another process listens on the control socket",
	failure.Closed:                 "the connection was closed in the middle of the reply",
	failure.TooLong:                "the reply is too long",
	failure.ReplyBudget:            "the replies of all sandboxes are too long together",
	failure.PageBudget:             "the metrics of all sandboxes are too long together",
	failure.ReplyRefused:           "the reply is refused",
	failure.TextsRefused:           "the names are too long or too many",
	failure.Internal:               "not queried because of an error of this program",
	failure.RegistrationRefused:    "the registration is refused",
	failure.RegistrationMismatch:   "the reply does not fit the registration",
	failure.RegistrationIncomplete: "runsc does not know all of the metrics",
	failure.NotInstrumented:        "no registration to verify replies with",
}

// judgeReasons returns the findings about running sandboxes without metrics.
func judgeReasons(o *Observed) []Finding {
	var g groups
	served := servedByOthers(o)
	for _, r := range reasons {
		for _, s := range o.running() {
			if s.Status != StatusFailed || s.Reason != string(r) || served(s) {
				continue
			}
			m := meanings[s.Reason]
			why, change := s.Detail, m.change
			if r == failure.Stalled && s.Stopped {
				why = "its process is stopped by a signal or by a debugger"
				change = fmt.Sprintf("continue it with kill -CONT %d, or detach the debugger", s.PID)
			}
			if p := o.runsc(s.PID); r == failure.NotInstrumented && p != nil {
				change = nameProgram(p, change)
			}
			g.add(s, Cause{s.Reason, m.level}.finding(whats[r], why, change))
		}
	}
	return g.findings()
}

// ofObserver are the reasons that may be about this command and not about the sandbox.
var ofObserver = []failure.Reason{failure.NotInstrumented, failure.RegistrationMismatch, failure.RegistrationIncomplete, failure.PermissionDenied, failure.OutOfTime, failure.Internal}

// servedByOthers returns a function that reports whether a server has the metrics of a sandbox that
// has none here for a reason that is about this command: the server may have other permissions, and
// a registration of its own.
func servedByOthers(o *Observed) func(s *Sandbox) bool {
	onServers := OnServers(o)
	return func(s *Sandbox) bool {
		return slices.Contains(ofObserver, failure.Reason(s.Reason)) && slices.ContainsFunc(onServers(s), func(v View) bool {
			return v.Served != nil && v.Served.Status == StatusOK && v.Served.Iteration != ""
		})
	}
}

// nameProgram returns how to name the program of a sandbox to the server, or other advice if the
// program is not known.
func nameProgram(p *Runsc, other string) string {
	switch {
	case p.Replaced:
		return "its runsc is not on disk any more: create the sandbox again; or unpack the same release in another directory, and name its runsc with --runsc"
	case p.Program != "":
		return "add --runsc " + p.Program + " to the server; root has to own the program, and nobody else may write it"
	}
	return other
}

// runsc returns the process of a sandbox, or nil.
func (o *Observed) runsc(pid int) *Runsc {
	i, found := slices.BinarySearchFunc(o.Runscs, pid, func(r Runsc, pid int) int { return cmp.Compare(r.PID, pid) })
	if !found {
		return nil
	}
	return &o.Runscs[i]
}

var sandboxesCheck = Check{"sandboxes", causesOfSandboxes(), judgeSandboxes}

// judgeSandboxes judges the result of the query to each running sandbox.
func judgeSandboxes(o *Observed) (string, []Finding) {
	running := o.running()
	good := 0
	served := servedByOthers(o)
	for _, s := range running {
		if s.Status == StatusOK || served(s) {
			good++
		}
	}
	summary := fmt.Sprintf("metrics of %d of %s", good, count(len(running), "running sandbox"))
	switch {
	case len(running) == 0:
		summary = "no sandbox is running"
	case good == len(running):
		summary = "metrics of " + count(good, "running sandbox")
	}
	return summary, judgeReasons(o)
}
