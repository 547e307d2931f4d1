// Package doctor judges what was observed of a node: whether each sandbox is served, and if not,
// why, and what to change. It is pure: it reads no files, asks no process, and changes nothing. The
// package observe makes the observations.
//
// A check is a function over an Observed. Each kind of finding has a Cause, whose name is stable:
// scripts and docs/doctor.md refer to it.
//
// It has no second implementation of the server. Sandboxes are found, queried and verified by
// collect, registrations come from registration, and the settings of a server are what the flags of
// serve make of its command line and environment. So doctor says what serve would. The collection
// takes place at least a second after the roots were first listed, because a state file counts as
// unreadable only if it stays so.
//
// Servers are queried after the sandboxes, so they know each sandbox that was found; the last
// second is left out, because the JSON API may be as old. Sandboxes that have ended meanwhile do
// not count.
//
// Command lines are hints. Every user chooses those of their processes, and a sandbox can change
// its own. A runtime root that comes from one is examined only if root and the user of the command
// are the only ones who can write it or replace one of its parents. Kubelet belongs to root. No
// credentials go to an address from a command line.
//
// A problem means exit status 1, and a warning does not, as with other tools that check systems. A
// cause has one level, whatever the circumstances, so that scripts can rely on it.
package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Level says how bad a finding is.
type Level int

// The levels.
const (
	OK      Level = iota // nothing to change
	Warning              // metrics are served, but something is missing, less exact, or about to fail
	Problem              // a sandbox is not served, or a figure is wrong
)

// String returns the name of the level, which is stable.
func (l Level) String() string { return [...]string{"ok", "warning", "problem"}[l] }

// MarshalText makes the level its name in JSON.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// A Cause is a kind of finding.
type Cause struct {
	Name  string
	Level Level
}

// A Finding says what is wrong, where, why, and what to change. Its texts may have bytes that are
// not printable, because some of them come from command lines and files of other users.
type Finding struct {
	Cause string `json:"cause"`
	Level Level  `json:"level"`
	// What is one sentence without the final period, for a list.
	What string `json:"what"`
	// Where are the files, directories and processes that it is about.
	Where []string `json:"where"`
	// Sandboxes are the IDs of the sandboxes that it is about.
	Sandboxes []string `json:"sandboxes"`
	Why       string   `json:"why"`
	// Change is what to do: a command or a setting.
	Change string `json:"change"`
}

// finding returns a finding without a place.
func (c Cause) finding(what, why, change string) Finding {
	return Finding{Cause: c.Name, Level: c.Level, What: what, Where: []string{}, Sandboxes: []string{}, Why: why, Change: change}
}

// at adds places.
func (f Finding) at(places ...string) Finding {
	f.Where = append(f.Where, places...)
	return f
}

// of adds sandboxes.
func (f Finding) of(sandboxes ...*Sandbox) Finding {
	for _, s := range sandboxes {
		f.Sandboxes = append(f.Sandboxes, s.ID)
	}
	return f
}

// A Result is that of one check.
type Result struct {
	Check    string    `json:"check"`
	Level    Level     `json:"level"` // the worst of Findings
	Summary  string    `json:"summary"`
	Findings []Finding `json:"findings"`
}

// A Report is the result of all checks.
type Report struct {
	Level    Level
	Problems int
	Warnings int
	Results  []Result
}

// A Check looks at one part of a node. It needs no lock and changes nothing.
type Check struct {
	Name   string
	Causes []Cause
	judge  func(o *Observed) (summary string, findings []Finding)
}

// Checks returns all checks, in the order in which a reader wants their results: what is served,
// then what that depends on.
func Checks() []Check {
	return []Check{serversCheck, rootsCheck, stateFilesCheck, sandboxesCheck, registrationsCheck, permissionsCheck, namespaceCheck,
		descriptorsCheck, inotifyCheck, usageCheck, finalLogCheck, kubeletCheck, clockCheck, runscCheck, completenessCheck}
}

// Examine runs all checks.
func Examine(o *Observed) Report {
	var report Report
	for _, c := range Checks() {
		r := c.run(o)
		for _, f := range r.Findings {
			switch f.Level {
			case Problem:
				report.Problems++
			case Warning:
				report.Warnings++
			}
		}
		report.Level = max(report.Level, r.Level)
		report.Results = append(report.Results, r)
	}
	return report
}

func (c *Check) run(o *Observed) Result {
	summary, findings := c.judge(o)
	r := Result{Check: c.Name, Summary: summary, Findings: findings}
	if r.Findings == nil {
		r.Findings = []Finding{} // JSON
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return int(b.Level) - int(a.Level) })
	for _, f := range findings {
		r.Level = max(r.Level, f.Level)
	}
	return r
}

// count returns a number with its noun: "1 sandbox", "2 sandboxes".
func count(n int, noun string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(noun, "x"), strings.HasSuffix(noun, "s"):
		noun += "es"
	default:
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// be returns the form of "be" for a number.
func be(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// days returns a duration in whole days.
func days(d time.Duration) int { return int(d.Hours() / 24) }
