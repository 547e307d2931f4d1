package doctor

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/sandmeter/sandmeter/internal/api"
)

// A Sandbox is a sandbox with the server that serves it.
type Sandbox struct {
	api.Sandbox
	Server *Server // nil: only the server in this process lists it
}

// Runs reports whether the process of the sandbox has not ended.
func (s *Sandbox) Runs() bool { return s.Phase == "running" || s.Phase == "orphaned" }

// A life identifies a life of a sandbox.
type life struct{ id, iteration string }

// Sandboxes returns each sandbox once, sorted by ID: as a server with its metrics has it or, if there
// is none, as another server does.
func (o *Observed) Sandboxes() []Sandbox {
	var all []Sandbox
	place := make(map[life]int)
	add := func(server *Server, status *api.Status) {
		for _, s := range status.Sandboxes {
			key := life{s.ID, s.Iteration}
			at, known := place[key]
			switch {
			case !known:
				place[key] = len(all)
				all = append(all, Sandbox{s, server})
			case server != nil && all[at].QueryStatus == "failed" && s.QueryStatus == "ok":
				all[at] = Sandbox{s, server}
			}
		}
	}
	for _, s := range o.answered() {
		add(s, s.Status)
	}
	if o.Local != nil {
		add(nil, o.Local)
	}
	slices.SortStableFunc(all, func(a, b Sandbox) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// answered returns the servers that describe themselves.
func (o *Observed) answered() []*Server {
	var answered []*Server
	for i := range o.Servers {
		if s := &o.Servers[i]; s.Status != nil {
			answered = append(answered, s)
		}
	}
	return answered
}

// minLife is how long a sandbox has to exist before a server that does not list it took its snapshot.
const minLife = 2 * time.Second

// missed reports whether a sandbox that no server lists should be listed: all servers have described
// themselves since it began.
func (o *Observed) missed(since time.Time) bool {
	for _, s := range o.Servers {
		if s.Status == nil || s.Status.SnapshotTime == nil || s.Status.SnapshotTime.Sub(since) < minLife {
			return false
		}
	}
	return len(o.Servers) > 0
}

// judgeSandboxes judges each sandbox once.
func (f *findings) judgeSandboxes(o *Observed) {
	sandboxes := o.Sandboxes()
	listed := make(map[string]bool)
	for i := range sandboxes {
		s := &sandboxes[i]
		listed[s.ID] = true
		if s.Runs() {
			f.judgeSandbox(o, s)
		}
	}
	for _, p := range o.Processes {
		switch {
		case p.HasStateFile == nil:
		case !*p.HasStateFile && !listed[p.Sandbox]:
			f.add(sandboxOrphaned, "its process runs, and its state file is gone", "no server has seen the sandbox while it had a state file", "", p.Root, p.Sandbox)
		case *p.HasStateFile && !listed[p.Sandbox]:
			f.judgeUnlisted(o, p.Sandbox, p.Root, p.Since)
		}
	}
}

// judgeSandbox judges a sandbox that runs.
func (f *findings) judgeSandbox(o *Observed, s *Sandbox) {
	if s.Server == nil {
		f.judgeUnlisted(o, s.ID, s.RuntimeRoot, s.CreatedAt)
	}
	if s.Phase == "orphaned" {
		f.add(sandboxOrphaned, "its process runs, and its state file is gone", "the container runtime takes the sandbox for deleted", "", s.RuntimeRoot, s.ID)
	}
	if s.Hidden != nil {
		f.add(sandboxHidden, "no series on pages: "+*s.Hidden, "", "", o.name(s.Server), s.ID)
	}
	stopped := ""
	if s.PID != nil && o.Sees(s.Server) {
		stopped = o.Stopped[*s.PID]
	}
	switch {
	case stopped != "":
		f.add(sandboxStopped, stopped, "a process that does not run does not reply", "", "process "+strconv.Itoa(*s.PID), s.ID)
		return
	case s.Reason != nil:
		f.add(sandboxFailed, *s.Reason, text(s.Detail), "", o.name(s.Server), s.ID)
	}
	for _, reason := range s.UsageAbsent {
		if slices.Contains(quiet, reason) {
			continue
		}
		f.add(usageAbsent, reason, "", "", o.name(s.Server), s.ID)
	}
}

// quiet are the reasons for absent figures that are intended or temporary, or have another finding.
var quiet = []string{"network_shared", "event_failed", "event_refused", "out_of_time", "pid_namespace"}

// judgeUnlisted judges a sandbox that no server lists, and that has existed since a time.
func (f *findings) judgeUnlisted(o *Observed, id, root string, since time.Time) {
	if !o.missed(since) {
		return
	}
	why, change := "no server has this runtime root", "add --root "+root+" to a server"
	for _, s := range o.answered() {
		if !s.serves(root) {
			continue
		}
		why, change = o.name(s)+" serves this runtime root, and may see another directory at its path", "look into the log of the server"
		switch address := s.Status.Settings.Resolved["match-address"]; {
		case address != "":
			why, change = o.name(s)+" serves only sandboxes that were created with --metric-server="+address, ""
		case s.Status.Settings.Resolved["runsc"] == "off":
			why, change = o.name(s)+" serves only sandboxes that were created with a --metric-server", ""
		}
	}
	f.add(notServed, "not listed by any server", why, change, root, id)
}

// serves reports whether a server serves a runtime root, by its path.
func (s *Server) serves(root string) bool {
	return slices.ContainsFunc(s.Status.RuntimeRoots, func(r api.RuntimeRoot) bool { return r.Path == root })
}

// Sees reports whether a server and this command give processes the same PIDs.
func (o *Observed) Sees(s *Server) bool {
	return s == nil || s.Status.Process.PIDNamespace != nil && *s.Status.Process.PIDNamespace == o.PIDNamespace
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
