// Package doctor judges the observations of a node: whether each sandbox is served, and if not,
// why, and how to change that. It is pure: it reads no files, asks no process, and changes nothing.
// The package observe makes the observations.
//
// Servers describe themselves, and doctor passes on their reasons. Without a server, one in the
// process of doctor describes the runtime roots. So doctor has no second implementation of the
// server. It adds only facts that no server has: sandboxes that no server lists, processes without a
// state file, and processes that are stopped.
//
// A problem means exit status 1, and a warning does not. A cause has one level, whatever the
// circumstances, so that scripts can rely on it.
package doctor

import (
	"cmp"
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/api"
)

// A Level says how bad a finding is.
type Level string

// The levels.
const (
	OK      Level = "ok"      // nothing to change
	Warning Level = "warning" // metrics are served, but something is missing, less exact, or about to fail
	Problem Level = "problem" // a sandbox is not served, or a figure is wrong
)

// A Finding is something that is wrong, with its place, its reason, and a remedy. Its texts may have
// bytes that are not printable, because some of them come from state files and command lines.
type Finding struct {
	Cause     string   `json:"cause"` // stable
	Level     Level    `json:"level"`
	What      string   `json:"what"`
	Where     []string `json:"where"`     // files, directories, servers and processes
	Sandboxes []string `json:"sandboxes"` // IDs
	Why       string   `json:"why"`
	Change    string   `json:"change"` // a command or a setting
}

// A Report is the document of `sandmeter doctor --json`. Its fields are stable.
type Report struct {
	Version  string    `json:"version"` // of this program
	Level    Level     `json:"level"`   // the worst of Findings
	Problems int       `json:"problems"`
	Warnings int       `json:"warnings"`
	Findings []Finding `json:"findings"` // problems first
	*Observed
}

// Examine judges an observation.
func Examine(o *Observed, version string) *Report {
	r := &Report{Version: version, Level: OK, Observed: o, Findings: judge(o)}
	for _, f := range r.Findings {
		switch f.Level {
		case Problem:
			r.Problems++
		case Warning:
			r.Warnings++
		}
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return cmp.Compare(a.Level, b.Level) }) // by name
	if len(r.Findings) > 0 {
		r.Level = r.Findings[0].Level
	}
	return r
}

// Observed has the observations of a node. It is plain data, which judging does not change.
type Observed struct {
	Time    time.Time `json:"time"`
	Servers []Server  `json:"servers"`
	// Local is the status of a server in this process. Null: there was none.
	Local     *api.Status `json:"local"`
	Processes []Process   `json:"sandbox_processes"`
	// NotExamined are runtime roots that processes name and that others can change.
	NotExamined []Root `json:"runtime_roots_not_examined"`
	// Stopped are the processes of sandboxes that are stopped or frozen, by PID.
	Stopped map[int]string `json:"stopped"`
	// Ignored are processes and addresses of other users that pass as servers or sandboxes. They change
	// no result.
	Ignored []string `json:"ignored"`
	// Incomplete has the failures to observe something.
	Incomplete []string `json:"incomplete"`

	RootsGiven   bool   `json:"-"` // the user named the runtime roots
	PIDNamespace uint64 `json:"-"` // of this process
}

// A State says whether a server could be asked.
type State string

// The states.
const (
	Answered    State = "answered"
	NoStatus    State = "no_status"   // it does not describe itself: gVisor's own server, or an older one
	Unreachable State = "unreachable" // nothing listens, or it does not respond, or responds with something else
	NoAccess    State = "no_access"   // TLS, credentials, permissions, or another namespace
)

// A Server is a server that was found.
type Server struct {
	Address string      `json:"address"`
	PID     int         `json:"pid"`   // 0: not known
	Given   bool        `json:"given"` // with --address
	State   State       `json:"state"`
	Error   string      `json:"error"`
	Status  *api.Status `json:"status"` // null unless it answered
}

// A Process is the process of a sandbox, by its command line, which the sandbox can change.
type Process struct {
	PID     int    `json:"pid"`
	Sandbox string `json:"sandbox"`
	Root    string `json:"runtime_root"`
	// HasStateFile is whether the runtime root has a state file of the sandbox; null: not known.
	HasStateFile *bool `json:"has_state_file"`

	Since time.Time `json:"-"` // last change of the state file
}

// A Root is a runtime root, and why it was not examined.
type Root struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}
