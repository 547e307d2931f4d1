package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sandmeter/sandmeter/internal/api"
)

// judge returns all findings.
func judge(o *Observed) []Finding {
	var f findings
	f.judgeServers(o)
	f.judgeSandboxes(o)
	for _, r := range o.NotExamined {
		f.add(rootNotExamined, "the runtime root of a sandbox was not examined", r.Why, "", r.Path, "")
	}
	for _, s := range o.answered() {
		f.judgeRoots(o, s.Status)
		f.judgeStatus(o.name(s), s.Status)
	}
	if o.Local != nil {
		f.judgeRoots(o, o.Local)
		if len(o.answered()) == 0 {
			f.judgeStatus(o.name(nil), o.Local)
		}
	}
	for _, what := range o.Incomplete {
		f.add(incomplete, "a part of the node was not examined", what, "", "", "")
	}
	return append([]Finding{}, f.all...)
}

// name returns the name of a server for texts; nil is the one in this process.
func (o *Observed) name(s *Server) string {
	switch {
	case s == nil:
		return "this command"
	case s.PID != 0:
		return fmt.Sprintf("server %s (process %d)", s.Address, s.PID)
	}
	return "server " + s.Address
}

// byState has the cause for each state of a server that does not describe itself.
var byState = map[State]struct {
	Cause
	what string
}{
	Unreachable: {serverUnreachable, "a server does not respond"},
	NoAccess:    {serverAccess, "a server cannot be asked from here"},
	NoStatus:    {noStatus, "a server does not describe itself, so its sandboxes are not known"},
}

// judgeServers judges which servers were found, and whether they describe themselves.
func (f *findings) judgeServers(o *Observed) {
	for i := range o.Servers {
		if c, wrong := byState[o.Servers[i].State]; wrong {
			f.add(c.Cause, c.what, o.Servers[i].Error, "", o.name(&o.Servers[i]), "")
		}
	}
	if len(o.Servers) == 0 {
		f.add(noServer, "no server is running", "no process of root or of this user listens like one, also not at the usual address", "", "", "")
	}
}

// judgeStatus judges a server by its own words.
func (f *findings) judgeStatus(name string, s *api.Status) {
	if s.SnapshotError != nil {
		f.add(noSnapshot, "the server has no snapshot", *s.SnapshotError, "", name, "")
	}
	if n := s.Limits.RuntimeRootsLeftOut; n > 0 {
		f.add(tooManyRoots, "runtime roots are left out", fmt.Sprintf("%d more than the limit of %d", n, s.Limits.RuntimeRoots), "", name, "")
	}
	if lacksRegistrations(s) {
		f.add(noRegistrations, "sandboxes that are created without --metric-server have no metrics",
			strings.TrimSuffix("the server knows no runsc that it may run: "+text(s.Registrations.Error), ": "), "", name, "")
	}
	if s.Limits.InotifyError != nil {
		f.add(inotifyExhausted, "new and ended sandboxes are noticed late", *s.Limits.InotifyError, "", name, "")
	}
	if ways := s.OutcomeSources; ways != nil && !slices.Contains(ways, "pidfd") && !slices.Contains(ways, "exit_events") {
		f.add(unknownOutcomes, "most sandboxes end with outcome unknown",
			"the kernel does not tell the server how processes end: it is older than Linux 6.15, and sends it no process events", "", name, "")
	}
	f.judgeProcess(name, s)
}

// lacksRegistrations reports whether a server needs registrations and has no source of them. As long as
// sandboxes have metrics, there is one.
func lacksRegistrations(s *api.Status) bool {
	set := s.Settings.Resolved
	hasMetrics := func(sandbox api.Sandbox) bool { return sandbox.QueryStatus == "ok" }
	return len(s.Registrations.Programs) == 0 && set["runsc"] == "" && set["drop-in"] == "" &&
		!slices.ContainsFunc(s.Sandboxes, hasMetrics)
}

func (f *findings) judgeRoots(o *Observed, s *api.Status) {
	for i := range s.RuntimeRoots {
		r := &s.RuntimeRoots[i]
		if r.State == api.RootUnreadable || r.State == api.RootHung || r.State == api.RootMissing && o.RootsGiven {
			f.add(rootUnreadable, "a runtime root is "+r.State, text(r.Error), "", r.Path, "")
		}
		for _, file := range r.Unreadable {
			f.add(stateFile, "a state file is not readable", file.Error, "", r.Path+"/"+file.File, "")
		}
	}
}

// Descriptors that a server needs besides two per sandbox: 256 for queries in flight, and the rest for
// clients and files.
const otherFiles = 512

// capabilities are those that a server needs without being root, by their bits.
var capabilities = []struct {
	bit         uint
	name, lacks string
}{
	{1, "CAP_DAC_OVERRIDE", "sandboxes cannot be queried, unless they run as the same user"},
	{19, "CAP_SYS_PTRACE", "the processes and networks of sandboxes cannot be measured"},
}

// judgeProcess judges the process of a server.
func (f *findings) judgeProcess(name string, s *api.Status) {
	has, err := strconv.ParseUint(text(s.Process.Capabilities), 16, 64)
	for _, c := range capabilities {
		if err == nil && s.Process.UID != 0 && has>>c.bit&1 == 0 {
			f.add(missingCapability, fmt.Sprintf("user %d lacks %s", s.Process.UID, c.name), c.lacks, "", name, "")
		}
	}
	running, elsewhere := 0, 0
	for i := range s.Sandboxes {
		if sandbox := (Sandbox{Sandbox: s.Sandboxes[i]}); sandbox.Runs() {
			running++
			if sandbox.PID == nil && sandbox.QueryStatus == "ok" {
				elsewhere++
			}
		}
	}
	if elsewhere > 0 {
		f.add(otherPIDNamespace, "processes of sandboxes are not visible", "they are in another PID namespace, so their ends and their usage cannot be seen", "", name, "")
	}
	if need := uint64(otherFiles + 2*running); s.Limits.OpenFiles != nil && *s.Limits.OpenFiles < need {
		f.add(lowFileLimit, fmt.Sprintf("the limit on open files is %d; up to %d are needed", *s.Limits.OpenFiles, need),
			"without file descriptors, queries fail, and exit codes of sandboxes stay unknown", "", name, "")
	}
}
