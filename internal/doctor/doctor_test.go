package doctor

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/api"
)

// now is the time of all observations.
var now = time.Date(2026, time.November, 30, 3, 0, 0, 0, time.UTC)

const (
	k8s    = "/run/containerd/runsc/k8s.io"
	docker = "/var/run/docker/runtime-runc/moby"
)

func subject(id, root string, pid int) api.Sandbox {
	return api.Sandbox{Phase: "running", UsageAbsent: []string{},
		ID: id, Iteration: id + "-1", RuntimeRoot: root, PID: &pid, CreatedAt: now.Add(-time.Hour), QueryStatus: "ok"}
}

func statusOf(root string, sandboxes ...api.Sandbox) *api.Status {
	return &api.Status{
		SnapshotTime:  new(now),
		Process:       api.Process{UID: 0, PIDNamespace: new(uint64(1))},
		Settings:      api.Settings{Resolved: map[string]string{"usage": "own"}},
		Limits:        api.Limits{OpenFiles: new(uint64(1024)), RuntimeRoots: 500},
		RuntimeRoots:  []api.RuntimeRoot{{Path: root, State: api.RootOK}},
		Registrations: api.Registrations{Programs: []string{"/opt/runsc"}},
		Sandboxes:     sandboxes,
	}
}

func process(pid int, id, root string, hasFile bool) Process {
	return Process{PID: pid, Sandbox: id, Root: root, HasStateFile: &hasFile, Since: now.Add(-time.Hour)}
}

// healthy returns a node on which nothing is wrong: a server with the sandboxes a and b.
func healthy() *Observed {
	return &Observed{
		Time: now, PIDNamespace: 1, Stopped: map[int]string{},
		Servers:   []Server{{Address: "localhost:19640", PID: 80, State: Answered, Status: statusOf(k8s, subject("a", k8s, 10), subject("b", k8s, 20))}},
		Processes: []Process{process(10, "a", k8s, true), process(20, "b", k8s, true)},
	}
}

// unserved adds a sandbox in a runtime root that no server serves.
func unserved(o *Observed) { o.Local = statusOf(docker, subject("c", docker, 30)) }

// alone removes the server.
func alone(o *Observed) { o.Servers, o.Processes = nil, nil }

func server(change func(s *Server)) func(*Observed) {
	return func(o *Observed) { change(&o.Servers[0]) }
}
func status(change func(s *api.Status)) func(*Observed) {
	return func(o *Observed) { change(o.Servers[0].Status) }
}
func first(change func(s *api.Sandbox)) func(*Observed) {
	return func(o *Observed) { change(&o.Servers[0].Status.Sandboxes[0]) }
}
func state(state State, err string) func(*Observed) {
	return server(func(s *Server) { s.State, s.Error, s.Status = state, err, nil })
}
func failed(reason, detail string) func(*Observed) {
	return first(func(s *api.Sandbox) { s.QueryStatus, s.Reason, s.Detail = "failed", &reason, &detail })
}

// spec has a row per cause: a change to a healthy node, and the finding to which it leads, as
// "level cause: what (where) [sandboxes] because why".
var spec = []struct {
	change func(*Observed)
	want   string
}{
	{alone, "warning no_server: no server is running () [] because no process of root or of this user listens like one, also not at the usual address"},
	{state(Unreachable, "no response"), "problem server_unreachable: a server does not respond (server localhost:19640 (process 80)) [] because no response"},
	{state(NoAccess, "TLS failed"), "warning server_access: a server cannot be asked from here (server localhost:19640 (process 80)) [] because TLS failed"},
	{state(NoStatus, "404"), "warning server_without_status: a server does not describe itself, so its sandboxes are not known (server localhost:19640 (process 80)) [] because 404"},
	{status(func(s *api.Status) { s.SnapshotError = new("too many open files") }),
		"problem collection_failed: the server has no snapshot (server localhost:19640 (process 80)) [] because too many open files"},
	{unserved, "problem sandbox_not_served: not listed by any server (" + docker + ") [c] because no server has this runtime root"},
	{func(o *Observed) {
		o.Processes = append(o.Processes, process(30, "c", k8s, true))
		o.Servers[0].Status.Settings.Resolved["match-address"] = ":1337"
	}, "problem sandbox_not_served: not listed by any server (" + k8s + ") [c] because server localhost:19640 (process 80) serves only sandboxes that were created with --metric-server=:1337"},
	{func(o *Observed) {
		o.Processes = append(o.Processes, process(30, "c", k8s, true))
		o.Servers[0].Status.Settings.Resolved["runsc"] = "off"
	}, "problem sandbox_not_served: not listed by any server (" + k8s + ") [c] because server localhost:19640 (process 80) serves only sandboxes that were created with a --metric-server"},
	{func(o *Observed) { o.Processes = append(o.Processes, process(30, "c", k8s, true)) },
		"problem sandbox_not_served: not listed by any server (" + k8s + ") [c] because server localhost:19640 (process 80) serves this runtime root, and may see another directory at its path"},
	{failed("reply_refused", "unknown metric"), "problem sandbox_failed: reply_refused (server localhost:19640 (process 80)) [a] because unknown metric"},
	{func(o *Observed) {
		failed("stalled", "no reply in time")(o)
		o.Stopped[10] = "its process is frozen by its cgroup"
	}, "problem sandbox_stopped: its process is frozen by its cgroup (process 10) [a] because a process that does not run does not reply"},
	{first(func(s *api.Sandbox) { s.Phase = "orphaned" }),
		"warning sandbox_orphaned: its process runs, and its state file is gone (" + k8s + ") [a] because the container runtime takes the sandbox for deleted"},
	{func(o *Observed) { o.Processes = append(o.Processes, process(30, "c", k8s, false)) },
		"warning sandbox_orphaned: its process runs, and its state file is gone (" + k8s + ") [c] because no server has seen the sandbox while it had a state file"},
	{first(func(s *api.Sandbox) { s.Hidden = new("series_limit") }),
		"warning sandbox_hidden: no series on pages: series_limit (server localhost:19640 (process 80)) [a] because "},
	{first(func(s *api.Sandbox) { s.UsageAbsent = []string{"cgroup_shared"} }),
		"warning usage_absent: cgroup_shared (server localhost:19640 (process 80)) [a] because "},
	{status(func(s *api.Status) {
		s.RuntimeRoots[0].Unreadable = []api.FileError{{File: "x.state", Error: "permission denied"}}
	}), "problem state_file_unreadable: a state file is not readable (" + k8s + "/x.state) [] because permission denied"},
	{status(func(s *api.Status) {
		s.RuntimeRoots[0].State, s.RuntimeRoots[0].Error = api.RootHung, new("it does not answer")
	}), "problem root_unreadable: a runtime root is hung (" + k8s + ") [] because it does not answer"},
	{func(o *Observed) {
		o.RootsGiven, o.Local = true, statusOf(docker)
		o.Local.RuntimeRoots[0].State = api.RootMissing
	}, "problem root_unreadable: a runtime root is missing (" + docker + ") [] because "},
	{func(o *Observed) {
		o.NotExamined = []Root{{"/home/me/runsc", "/home/me belongs to user 1000"}}
	}, "warning root_not_examined: the runtime root of a sandbox was not examined (/home/me/runsc) [] because /home/me belongs to user 1000"},
	{status(func(s *api.Status) { s.Limits.RuntimeRootsLeftOut = 3 }),
		"problem too_many_roots: runtime roots are left out (server localhost:19640 (process 80)) [] because 3 more than the limit of 500"},
	{status(func(s *api.Status) { s.Registrations, s.Sandboxes = api.Registrations{}, nil }),
		"warning no_registration_source: sandboxes that are created without --metric-server have no metrics (server localhost:19640 (process 80)) [] because the server knows no runsc that it may run"},
	{status(func(s *api.Status) { s.Process.UID, s.Process.Capabilities = 1000, new("0000000000080000") }),
		"warning missing_capability: user 1000 lacks CAP_DAC_OVERRIDE (server localhost:19640 (process 80)) [] because sandboxes cannot be queried, unless they run as the same user"},
	{first(func(s *api.Sandbox) { s.PID = nil }),
		"problem other_pid_namespace: processes of sandboxes are not visible (server localhost:19640 (process 80)) [] because they are in another PID namespace, so their ends and their usage cannot be seen"},
	{status(func(s *api.Status) { s.Limits.OpenFiles = new(uint64(64)) }),
		"warning low_file_limit: the limit on open files is 64; up to 516 are needed (server localhost:19640 (process 80)) [] because without file descriptors, queries fail, and exit codes of sandboxes stay unknown"},
	{func(o *Observed) {
		alone(o)
		o.Local = statusOf(k8s)
		o.Local.Limits.InotifyError = new("fs.inotify.max_user_instances reached")
	}, "warning inotify_exhausted: new and ended sandboxes are noticed late (this command) [] because fs.inotify.max_user_instances reached"},
	{status(func(s *api.Status) { s.OutcomeSources = []string{"zombie"} }),
		"warning outcomes_unknown: most sandboxes end with outcome unknown (server localhost:19640 (process 80)) [] because the kernel does not tell the server how processes end: it is older than Linux 6.15, and sends it no process events"},
	{func(o *Observed) { o.Incomplete = []string{"processes: permission denied"} },
		"warning incomplete: a part of the node was not examined () [] because processes: permission denied"},
}

func textOf(f Finding) string {
	places := ""
	for _, place := range f.Where {
		places += place
	}
	return fmt.Sprintf("%s %s: %s (%s) %v because %s", f.Level, f.Cause, f.What, places, f.Sandboxes, f.Why)
}

// TestCauses: each row of the table. docs/doctor.md has the causes in the table, with their levels.
func TestCauses(t *testing.T) {
	if r := Examine(healthy(), ""); r.Level != OK || len(r.Findings) > 0 {
		t.Fatalf("a healthy node has %+v", r.Findings)
	}
	tested := make(map[string]string)
	for _, row := range spec {
		o := healthy()
		row.change(o)
		r := Examine(o, "")
		i := slices.IndexFunc(r.Findings, func(f Finding) bool { return textOf(f) == row.want })
		if i < 0 {
			t.Errorf("got %+v, want %s", r.Findings, row.want)
			continue
		}
		f := r.Findings[i]
		tested[f.Cause] = string(f.Level)
		if f.Change == "" || r.Problems+r.Warnings != len(r.Findings) || r.Level != r.Findings[0].Level {
			t.Errorf("%s: change %q, %d problems, %d warnings, %s", row.want, f.Change, r.Problems, r.Warnings, r.Level)
		}
	}
	text, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (problem|warning) \\|").FindAllStringSubmatch(string(text), -1) {
		documented[row[1]] = row[2]
	}
	if !maps.Equal(documented, tested) {
		t.Errorf("docs/doctor.md has\n%v\nwant\n%v", documented, tested)
	}
}

// TestQuiet: states of a node that are no findings.
func TestQuiet(t *testing.T) {
	f := func(name string, change func(*Observed)) {
		t.Helper()
		o := healthy()
		change(o)
		for _, f := range Examine(o, "").Findings {
			t.Errorf("%s: %s", name, textOf(f))
		}
	}
	f("a sandbox that is younger than the server's snapshot", func(o *Observed) {
		unserved(o)
		o.Local.Sandboxes[0].CreatedAt = now.Add(-time.Second)
	})
	f("a sandbox whose state file is younger than the snapshot", func(o *Observed) {
		o.Processes = append(o.Processes, Process{Sandbox: "c", Root: k8s, HasStateFile: new(true), Since: now})
	})
	f("a sandbox that has ended", func(o *Observed) {
		failed("stalled", "")(o)
		first(func(s *api.Sandbox) { s.Phase = "ended" })(o)
	})
	f("a server in a container sees the runtime root at another path", func(o *Observed) { o.Local = statusOf(docker, subject("a", docker, 10)) })
	f("a PID of another PID namespace", func(o *Observed) {
		o.PIDNamespace = 2
		o.Stopped[10] = "its process is stopped"
	})
	f("a usual runtime root that does not exist", status(func(s *api.Status) { s.RuntimeRoots[0].State = api.RootMissing }))
	f("metrics on one of two servers", func(o *Observed) {
		failed("stalled", "")(o)
		o.Servers = append(o.Servers, Server{Address: ":1", State: Answered, Status: statusOf(k8s, subject("a", k8s, 10))})
	})
	f("the host's network", first(func(s *api.Sandbox) { s.UsageAbsent = []string{"network_shared"} }))
	f("no source of registrations, and none is needed", status(func(s *api.Status) { s.Registrations.Programs = nil }))
}

// TestUnknownServer: a sandbox may be served by a server that does not tell.
func TestUnknownServer(t *testing.T) {
	o := healthy()
	unserved(o)
	o.Servers = append(o.Servers, Server{Address: ":1", State: NoAccess})
	for _, f := range Examine(o, "").Findings {
		if f.Cause == notServed.Name {
			t.Error(textOf(f))
		}
	}
}

// TestManyReasons: a node with a thousand different errors has a short list.
func TestManyReasons(t *testing.T) {
	o := healthy()
	for i := range 1000 {
		s := subject(fmt.Sprint("x", i), k8s, 100+i)
		s.QueryStatus, s.Reason, s.Detail = "failed", new("reply_refused"), new(fmt.Sprint("error ", i))
		o.Servers[0].Status.Sandboxes = append(o.Servers[0].Status.Sandboxes, s)
	}
	o.Servers[0].Status.Limits.OpenFiles = nil
	r := Examine(o, "")
	last := r.Findings[len(r.Findings)-1]
	if len(r.Findings) != maxReasons+1 || len(last.Sandboxes) != 1000-maxReasons || last.Why != "other reasons: --json has each" {
		t.Errorf("%d findings, the last one: %s", len(r.Findings), textOf(last))
	}
}
