package doctor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
)

// now is the time of all observations.
var now = time.Date(2026, time.November, 30, 3, 0, 0, 0, time.UTC)

// healthy returns a node on which nothing is wrong: two sandboxes, a and b, in one runtime root,
// and a server of that root.
func healthy() *Observed {
	const root = "/run/containerd/runsc/k8s.io"
	sandbox := func(id string, pid int) Sandbox {
		return Sandbox{ID: id, Iteration: id + "-1", Root: root, PID: pid, CreatedAt: now.Add(-time.Hour), Running: true, Status: StatusOK, Version: "release-20261102.0"}
	}
	served := func(id string) Served { return Served{ID: id, Iteration: id + "-1", Root: root, Status: StatusOK} }
	self := Process{PID: 70, Known: true, PIDNamespace: initialNamespace, OpenFiles: 1024}
	server := self
	server.PID = 80
	return &Observed{
		Time:      now,
		Self:      self,
		Roots:     []Root{{Path: root, Origin: Usual}},
		MaxRoots:  500,
		Sandboxes: []Sandbox{sandbox("a", 10), sandbox("b", 20)},
		Servers: []Server{{Address: "localhost:19640", PID: 80, Process: server, Sandboxes: []Served{served("a"), served("b")},
			Settings: Settings{Command: "serve", Roots: []string{root}, Addresses: []string{"localhost:19640"}, Usage: "own"}}},
		Runscs:   []Runsc{{PID: 10, Program: "/opt/runsc"}, {PID: 20, Program: "/opt/runsc"}},
		Programs: []string{"/opt/runsc"},
		Clock:    Clock{Known: true, Synchronized: true},
	}
}

// setting returns a function that sets what one of the healthy node's parts is.
func sandbox(f func(s *Sandbox)) func(*Observed) { return func(o *Observed) { f(&o.Sandboxes[0]) } }
func server(f func(s *Server)) func(*Observed)   { return func(o *Observed) { f(&o.Servers[0]) } }
func root(f func(r *Root)) func(*Observed)       { return func(o *Observed) { f(&o.Roots[0]) } }
func self(f func(p *Process)) func(*Observed)    { return func(o *Observed) { f(&o.Self) } }

// failed makes a sandbox fail, here and on the server.
func failed(reason failure.Reason, detail string) func(*Observed) {
	return func(o *Observed) {
		o.Sandboxes[0].Status, o.Sandboxes[0].Reason, o.Sandboxes[0].Detail = StatusFailed, string(reason), detail
		o.Servers[0].Sandboxes[0].Status, o.Servers[0].Sandboxes[0].Reason = StatusFailed, string(reason)
	}
}

func absent(reason string) func(*Observed) {
	return sandbox(func(s *Sandbox) { s.UsageAbsent = []string{reason} })
}

// spec is what each cause looks like: a change to a healthy node, and the finding that it leads to,
// as "level check/cause: what (where) because why; change". A why or change of "…" stands for any
// text.
var spec = []struct {
	name   string
	change func(o *Observed)
	want   string
}{
	// Servers.
	{"no server runs", func(o *Observed) {
		o.Servers = []Server{{Address: "localhost:19640", Missing: true, Err: "nothing listens"}}
	},
		"warning servers/no_server: no server is running () because nothing listens at the usual address, and no process of a server is visible here; start one with sandmeter serve, or give the address of a server with --address"},
	{"the service of the package is stopped", func(o *Observed) {
		o.Servers, o.Service.File = []Server{{Address: "localhost:19640", Missing: true, Err: "nothing listens"}}, "/etc/default/sandmeter"
	}, "warning servers/no_server: no server is running (/etc/default/sandmeter) because …; run systemctl start sandmeter; if it ends, journalctl -u sandmeter says why"},
	{"the service of the package has invalid settings", func(o *Observed) {
		o.Servers = []Server{{Address: "localhost:19640", Missing: true, Err: "nothing listens"}}
		o.Service = Service{"/etc/default/sandmeter", "environment variable SANDMETER_USAGE: choose own, cadvisor, both or off"}
	}, "problem servers/service_settings: no server is running, and the service would not start (/etc/default/sandmeter) because environment variable SANDMETER_USAGE: choose own, cadvisor, both or off; correct the file, then run systemctl restart sandmeter"},
	{"nothing listens at --address", server(func(s *Server) { s.PID, s.Missing, s.Given, s.Err = 0, true, true, "connection refused" }),
		"problem servers/server_unreachable: nothing listens at localhost:19640 (the server at localhost:19640) because connection refused; start a server there, or give its address with --address; look into the log of a server that runs"},
	{"a server does not listen yet", server(func(s *Server) { s.Missing, s.Err = true, "connection refused" }),
		"problem servers/server_unreachable: nothing listens at localhost:19640 (process 80) because connection refused; …"},
	{"a server is in a container", server(func(s *Server) { s.Missing, s.Elsewhere, s.Err = true, true, "connection refused" }),
		"warning servers/server_access: what the server at localhost:19640 serves is unknown (process 80) because its address is in a container: connection refused; run sandmeter doctor in the container of the server, for example with kubectl exec"},
	{"a server does not reply", server(func(s *Server) { s.Err = "deadline exceeded" }),
		"problem servers/server_unreachable: the server at localhost:19640 does not reply (process 80) because deadline exceeded; look into the log of the server, and restart it"},
	{"a server wants a password", server(func(s *Server) { s.Err, s.Refused = "the server does not accept the credentials", true }),
		"warning servers/server_access: what the server at localhost:19640 serves is unknown (process 80) because the server does not accept the credentials; name the server with --address, and give its TLS settings and credentials with --web.client-config.file"},
	{"another user runs the command line of a server", func(o *Observed) { o.UntrustedServers = []UntrustedServer{{PID: 91, Why: "it runs as user 65534"}} },
		"warning servers/server_not_trusted: a server of another user is ignored (process 91) because it runs as user 65534; give the address of the server with --address if you trust its user; otherwise find out what that user does"},
	{"another user listens at the address of a server", server(func(s *Server) { s.Untrusted, s.Err = "user 65534 listens there", "user 65534 listens there" }),
		"warning servers/server_not_trusted: a server of another user is ignored (process 80) because user 65534 listens there; …"},
	{"the socket of a server is for others", server(func(s *Server) { s.Err, s.Denied = "permission denied", true }),
		"warning servers/server_access: what the server at localhost:19640 serves is unknown (process 80) because permission denied; run as root, or as a member of the socket's group"},
	{"a server was upgraded and not restarted", server(func(s *Server) { s.Process.Replaced = true }),
		"warning servers/server_replaced: the program file of the server is not on disk any more (process 80) because the file was replaced or removed after the server began; restart the server to run the installed version"},
	{"the environment of a server is not readable", server(func(s *Server) { s.SettingsErr = "permission denied" }),
		"warning servers/server_settings: the settings of the server are unknown (process 80) because permission denied; run this command as root"},
	{"a server serves another root", server(func(s *Server) { s.Settings.Roots, s.Sandboxes = []string{"/var/run/runsc"}, nil }),
		"problem servers/sandbox_not_served: 2 sandboxes: served by no server (/run/containerd/runsc/k8s.io) because process 80 serves /var/run/runsc, and not /run/containerd/runsc/k8s.io; add --root /run/containerd/runsc/k8s.io to the server, or to SANDMETER_ROOT in its environment, and restart it"},
	{"a server serves sandboxes with its own address only", server(func(s *Server) {
		s.Settings.MatchAddress, s.Sandboxes = "/run/metrics.sock", s.Sandboxes[:1]
	}),
		"problem servers/sandbox_not_served: 1 sandbox: served by no server (/run/containerd/runsc/k8s.io) because process 80 serves only sandboxes that were created with --metric-server=/run/metrics.sock, and this one was created with none; run sandmeter serve instead, or create the sandbox again with that address"},
	{"a server serves instrumented sandboxes only", server(func(s *Server) { s.Settings.OnlyInstrumented, s.Sandboxes = true, s.Sandboxes[:1] }),
		"problem servers/sandbox_not_served: 1 sandbox: served by no server (/run/containerd/runsc/k8s.io) because process 80 runs with --only-instrumented, and the sandbox was created without --metric-server; leave out --only-instrumented, or create the sandbox again with runsc's flag --metric-server"},
	{"a server does not see a sandbox", server(func(s *Server) { s.Sandboxes = s.Sandboxes[:1] }),
		"problem servers/sandbox_not_served: 1 sandbox: served by no server (/run/containerd/runsc/k8s.io) because process 80 serves /run/containerd/runsc/k8s.io, and does not list it; look into the log of the server; it may see another directory at this path"},
	{"a server whose process is not visible does not see a sandbox", server(func(s *Server) { s.PID, s.Settings, s.Sandboxes = 0, Settings{}, s.Sandboxes[:1] }),
		"problem servers/sandbox_not_served: 1 sandbox: served by no server (/run/containerd/runsc/k8s.io) because the server at localhost:19640 does not list it; add --root /run/containerd/runsc/k8s.io to the server if it lacks the runtime root; else look into its log"},
	{"a server lacks permission", server(func(s *Server) { s.Sandboxes[0].Status, s.Sandboxes[0].Reason = StatusFailed, "permission_denied" }),
		"problem servers/sandbox_failed_on_server: 1 sandbox: no metrics on the server, although they reply here (process 80) because reason permission_denied on the server: connecting to the control socket takes write permission on it; run as root, or as a user with CAP_DAC_OVERRIDE"},
	{"a sandbox was unregistered", server(func(s *Server) { s.Sandboxes[0].Hidden = "unregistered" }),
		"warning servers/sandbox_hidden: 1 sandbox: no series on the server (process 80) because a client has unregistered them; if that was wrong, restart the server; see --web.enable-registration"},
	{"there are more sandboxes than may have series", server(func(s *Server) { s.Sandboxes[0].Hidden = "series_limit" }),
		"warning servers/sandbox_hidden: 1 sandbox: no series on the server (process 80) because older sandboxes use up --max-sandboxes-with-series; raise --max-sandboxes-with-series"},

	// Runtime roots and state files.
	{"there is no root", func(o *Observed) { o.Roots, o.Sandboxes = nil, nil },
		"warning runtime_roots/no_runtime_root: no runtime root was found () because no usual directory exists, and no process of runsc is visible here; start a sandbox, or give the directory with --root"},
	{"--root does not exist", root(func(r *Root) { r.Origin, r.Missing, r.Err = Given, true, "stat /x: no such file or directory" }),
		"problem runtime_roots/root_missing: the runtime root does not exist (/run/containerd/runsc/k8s.io) because stat /x: no such file or directory; correct --root, or start a sandbox with this root"},
	{"a root is for root only", root(func(r *Root) { r.Denied, r.Err = true, "open /x: permission denied" }),
		"problem runtime_roots/root_unreadable: the runtime root is not readable (/run/containerd/runsc/k8s.io) because open /x: permission denied; run as root, or as a user with CAP_DAC_OVERRIDE"},
	{"a root is a file", root(func(r *Root) { r.Err = "not a directory" }),
		"problem runtime_roots/root_unreadable: the runtime root is not readable (/run/containerd/runsc/k8s.io) because not a directory; correct the path, or repair the file system"},
	{"a process names a root of another user", func(o *Observed) {
		o.Roots = append(o.Roots, Root{Path: "/home/me/runsc", Origin: OfProcess, PID: 30, Untrusted: "/home/me belongs to user 1000"})
	}, "warning runtime_roots/root_not_examined: the runtime root of process 30 was not examined (/home/me/runsc) because /home/me belongs to user 1000; give it with --root if you trust its owner"},
	{"a process names a root in another mount namespace", func(o *Observed) {
		o.Roots = append(o.Roots, Root{Path: "/data/runsc", Origin: OfProcess, PID: 30, Missing: true, Err: "no such file or directory"})
	}, "warning runtime_roots/root_not_examined: the runtime root of process 30 was not examined (/data/runsc) because it does not exist here, so the process may be in another mount namespace; run this command where the process sees its runtime root, or mount it"},
	{"there is one root more than a server serves", func(o *Observed) { o.Roots = append(o.Roots, Root{Path: "/r500", LeftOut: true}) },
		"problem runtime_roots/too_many_roots: a runtime root is left out (/r500) because a server serves at most 500 runtime roots with sandboxes; start a second server for some of them"},
	{"there are two more", func(o *Observed) {
		o.Roots = append(o.Roots, Root{Path: "/r500", LeftOut: true}, Root{Path: "/r501", LeftOut: true})
	}, "problem runtime_roots/too_many_roots: 2 runtime roots are left out (/r500 /r501) because a server serves at most 500 runtime roots with sandboxes; start a second server for some of them"},
	{"a state file is damaged", root(func(r *Root) { r.Files = []FileError{{"c_sandbox:c.state", "unexpected end of JSON input"}} }),
		"problem state_files/state_file_unreadable: 1 state file is not readable, so sandboxes are not served (/run/containerd/runsc/k8s.io/c_sandbox:c.state) because unexpected end of JSON input; run as root; if the file is damaged, delete the container with runsc --root /run/containerd/runsc/k8s.io delete --force"},

	// Sandboxes: what the collector says, and what to change.
	{"a sandbox does not reply", failed(failure.Stalled, "no reply in time"), "problem sandboxes/stalled: 1 sandbox: stalled () because no reply in time; see whether the sandbox is starved of CPU; if not, it may be hostile"},
	{"a sandbox is stopped", sandbox(func(s *Sandbox) {
		s.Status, s.Reason, s.Detail, s.Stopped = StatusFailed, "stalled", "no reply in time", true
	}),
		"problem sandboxes/stalled: 1 sandbox: stalled () because its process is stopped by a signal or by a debugger; continue it with kill -CONT 10, or detach the debugger"},
	{"the node is too slow", failed(failure.OutOfTime, "not reached"), "warning sandboxes/out_of_time: 1 sandbox: not reached in time () because not reached; …"},
	{"a sandbox has no control socket", failed(failure.Unreachable, "no such file"), "problem sandboxes/unreachable: 1 sandbox: nothing listens on the control socket () because no such file; …"},
	{"a root does not answer", failed(failure.RootHung, "no answer"), "problem sandboxes/root_hung: 1 sandbox: the runtime root does not answer () because no answer; repair or unmount the file system: it may be FUSE with a dead daemon, or NFS"},
	{"a control socket is root's", failed(failure.PermissionDenied, "permission denied"), "problem sandboxes/permission_denied: 1 sandbox: no permission to connect to the control socket () because permission denied; run as root, or as a user with CAP_DAC_OVERRIDE"},
	{"a process took the control socket", failed(failure.WrongPeer, "process 9 listens"), "problem sandboxes/wrong_peer: 1 sandbox: another process listens on the control socket () because process 9 listens; …"},
	{"a sandbox hangs up", failed(failure.Closed, "EOF"), "problem sandboxes/closed: 1 sandbox: the connection was closed in the middle of the reply () because EOF; …"},
	{"a sandbox floods", failed(failure.TooLong, "more than 1 MB"), "problem sandboxes/too_long: 1 sandbox: the reply is too long () because more than 1 MB; treat the sandbox as hostile"},
	{"all sandboxes flood", failed(failure.ReplyBudget, "over budget"), "problem sandboxes/reply_budget: 1 sandbox: the replies of all sandboxes are too long together () because over budget; …"},
	{"the page is full", failed(failure.PageBudget, "over budget"), "problem sandboxes/page_budget: 1 sandbox: the metrics of all sandboxes are too long together () because over budget; …"},
	{"a sandbox lies", failed(failure.ReplyRefused, "fs_opens decreased"), "problem sandboxes/reply_refused: 1 sandbox: the reply is refused () because fs_opens decreased; …"},
	{"a pod has a long name", failed(failure.TextsRefused, "254 bytes"), "problem sandboxes/texts_refused: 1 sandbox: the names are too long or too many () because 254 bytes; find out who named it"},
	{"there are no file descriptors", failed(failure.Internal, "too many open files"), "problem sandboxes/internal: 1 sandbox: not queried because of an error of this program () because too many open files; …"},
	{"a registration is invalid", failed(failure.RegistrationRefused, "a name repeats"), "problem sandboxes/registration_refused: 1 sandbox: the registration is refused () because a name repeats; report it: no runsc does this"},
	{"--registration is of another build", failed(failure.RegistrationMismatch, "no metric x"), "problem sandboxes/registration_mismatch: 1 sandbox: the reply does not fit the registration () because no metric x; …"},
	{"runsc does not know the kernel's metrics", failed(failure.RegistrationIncomplete, "no metric x"),
		"problem sandboxes/registration_incomplete: 1 sandbox: runsc does not know all of the metrics () because no metric x; create sandboxes with --metric-server; if that changes nothing, treat the sandbox as hostile"},
	{"the program of a sandbox was not found", failed(failure.NotInstrumented, "no metrics registered"),
		"problem sandboxes/not_instrumented: 1 sandbox: no registration to verify replies with () because no metrics registered; add --runsc /opt/runsc to the server; root has to own the program, and nobody else may write it"},

	// Permissions, namespaces, limits.
	{"this command runs as a user", self(func(p *Process) { p.UID = 1000 }),
		"warning permissions/cannot_query: this command runs as user 1000 and cannot query sandboxes of others (process 70) because …; run as root; root needs no capabilities"},
	{"the server runs as a user", server(func(s *Server) { s.Process.UID = 65532 }),
		"warning permissions/cannot_query: the server runs as user 65532 and cannot query sandboxes of others (process 80) because …; …"},
	{"the server has only CAP_DAC_OVERRIDE", server(func(s *Server) { s.Process.UID, s.Process.Capabilities = 65532, capDACOverride }),
		"warning permissions/cannot_measure: the server runs as user 65532 and cannot measure networks of sandboxes (process 80) because …; run as root, or add CAP_SYS_PTRACE"},
	{"this command is in a container", absent("pid_namespace"),
		"problem pid_namespace/other_pid_namespace: 1 sandbox: in another PID namespace than this command () because …; run in the host's PID namespace: hostPID: true in Kubernetes, --pid=host in Docker"},
	{"the server is in a container", server(func(s *Server) { s.Process.PIDNamespace = 5 }),
		"problem pid_namespace/other_pid_namespace: a server is in another PID namespace than the sandboxes (process 80) because …; …"},
	{"this command is in a container, and no sandbox runs", func(o *Observed) { o.Sandboxes, o.Self.PIDNamespace, o.Servers[0].Process.PIDNamespace = nil, 5, 5 },
		"warning pid_namespace/pid_namespace_not_initial: this command is not in the host's PID namespace () because …; …"},
	{"the limit on open files of the server is low", server(func(s *Server) { s.Process.OpenFiles = 256 }),
		"warning file_descriptors/low_file_limit: the server may open 256 files, and serving 2 sandboxes takes up to 516 (process 80) because …; raise the limit: LimitNOFILE=1024 in the unit, or ulimit -n 1024 in the shell"},
	{"inotify instances are used up", func(o *Observed) { o.Inotify = Inotify{Instances: "too many open files", MaxInstances: 128} },
		"warning inotify/inotify_instances: this user cannot make another inotify instance () because …; sysctl -w fs.inotify.max_user_instances=256, and the same line in a file of /etc/sysctl.d"},
	{"inotify watches are used up", func(o *Observed) { o.Inotify = Inotify{Watches: "no space left on device", MaxWatches: 64} },
		"warning inotify/inotify_watches: this user cannot watch the runtime roots () because …; sysctl -w fs.inotify.max_user_watches=8192, and the same line in a file of /etc/sysctl.d"},

	// Usage.
	{"runsc runs with --ignore-cgroups", absent("cgroup_not_own"), "warning usage/cgroup_not_own: 1 sandbox: no cgroup of their own () because …; leave out --ignore-cgroups in the runtime's settings and create the sandboxes again"},
	{"a shell is in a sandbox's cgroup", absent("cgroup_shared"), "warning usage/cgroup_shared: 1 sandbox: other processes are in their cgroups () because …; move other processes out of the cgroup"},
	{"a sandbox has 5,000 processes", absent("cgroup_too_large"), "warning usage/cgroup_too_large: 1 sandbox: too many processes in their cgroups () because …; …"},
	{"cgroups are not mounted", absent("cgroup_unreachable"), "warning usage/cgroup_unreachable: 1 sandbox: their cgroups are not visible here () because …; mount the host's /sys/fs/cgroup, read-only, and use the host's cgroup namespace"},
	{"cgroups are not readable", absent("cgroup_unreadable"), "warning usage/cgroup_unreadable: 1 sandbox: their cgroups are not readable () because …; …"},
	{"the memory controller is off", absent("cgroup_controller_missing"), "warning usage/cgroup_controller_missing: 1 sandbox: their cgroups lack a controller () because …; …"},
	{"it is not known which process is the sandbox's", absent("identity_unproven"), "warning usage/identity_unproven: 1 sandbox: their processes are not known () because …; run as root; if the sandboxes have no metrics either, see why"},
	{"a network namespace is not readable", absent("network_unreadable"), "warning usage/network_unreadable: 1 sandbox: their networks are not measured () because …; run as root, or add CAP_SYS_PTRACE"},
	{"a sentry is not readable", absent("sentry_unreadable"), "warning usage/sentry_unreadable: 1 sandbox: their kernel processes are not measured () because …; run as root, or add CAP_SYS_PTRACE"},

	// Registrations of sandboxes to come.
	{"there is no runsc", func(o *Observed) { o.Programs = nil },
		"warning registrations/no_registration_source: sandboxes that are created without --metric-server would have no metrics () because …; …"},

	// Final metrics logs.
	{"runsc's flag lacks %ID%", func(o *Observed) {
		o.Runtimes = []Runtime{{File: "/etc/docker/daemon.json", FinalMetricsLog: "/var/final.log"}}
	},
		"problem final_metrics_log/final_log_pattern: runsc's --final-metrics-log is /var/final.log (/etc/docker/daemon.json) because add %ID%: without it, all sandboxes write to the same file and truncate it; …"},
	{"everybody can write the directory", func(o *Observed) {
		o.Servers[0].Settings.FinalMetricsLog, o.Runscs[0].FinalMetricsLog = "/var/final/%ID%.log", "/var/final/%ID%.log"
		o.FinalLogs = []FinalLogDir{{Pattern: "/var/final/%ID%.log", Dir: "/var/final", Writers: "/var/final is writable by everybody (mode 0777)"}}
	}, "problem final_metrics_log/final_log_writable: users other than root can write the directory of final metrics logs (/var/final) because /var/final is writable by everybody (mode 0777); chown root:root /var/final && chmod 0755 /var/final, and the same for its parents"},
	{"a release of runsc does not replace %ID%", func(o *Observed) {
		o.Servers[0].Settings.FinalMetricsLog, o.Runscs[0].FinalMetricsLog = "/var/final/%ID%.log", "/var/final/%ID%.log"
		o.FinalLogs = []FinalLogDir{{Pattern: "/var/final/%ID%.log", Dir: "/var/final", Literal: "/var/final/%ID%.log"}}
	}, "warning final_metrics_log/final_log_literal: runsc left last metrics in a file whose name has a placeholder (/var/final/%ID%.log) because the runsc that wrote it does not replace placeholders in --final-metrics-log, so all of its sandboxes truncate the same file; install a newer runsc, create the sandboxes again, and remove the file"},
	{"the server reads other files than runsc writes", func(o *Observed) {
		o.Servers[0].Settings.FinalMetricsLog = "/var/%ID%.log"
		o.Runscs[0].FinalMetricsLog = "/var/final/%ID%.log"
	}, "problem final_metrics_log/final_log_differs: the server looks for last metrics elsewhere than sandboxes leave them (process 80) because process 80 reads /var/%ID%.log, and runsc writes /var/final/%ID%.log; give both the same pattern"},
	{"the server does not read what runsc writes", func(o *Observed) { o.Runscs[0].FinalMetricsLog = "/var/final/%ID%.log" },
		"warning final_metrics_log/final_log_unread: nothing reads the last metrics of sandboxes (process 10) because process 80 runs without --final-metrics-log; add --final-metrics-log '/var/final/%ID%.log' to the server"},
	{"runsc does not write what the server reads", server(func(s *Server) { s.Settings.FinalMetricsLog = "/var/final/%ID%.log" }),
		"warning final_metrics_log/final_log_missing: sandboxes leave no last metrics (process 80) because process 80 expects them in /var/final/%ID%.log; …"},

	// Kubelet.
	{"kubelet has cAdvisor's figures from CRI", func(o *Observed) {
		o.Servers[0].Settings.Usage = "both"
		o.Kubelets = []Kubelet{{PID: 90, StatsFromCRI: true, SetBy: "PodAndContainerStatsFromCRI=true in /etc/kubelet.yaml"}}
	}, "problem kubelet/sums_double: sums over containers count sandboxes twice (process 90 process 80) because kubelet's /metrics/cadvisor has the containers of sandboxes (PodAndContainerStatsFromCRI=true in /etc/kubelet.yaml), and so has process 80 with --usage=both; run the server with --usage=own, or leave out the feature gate"},
	{"kubelet's settings are not readable", func(o *Observed) {
		o.Servers[0].Settings.Usage = "cadvisor"
		o.Kubelets = []Kubelet{{PID: 90, Err: "no such file"}}
	}, "warning kubelet/kubelet_unknown: whether sums over containers count sandboxes twice is unknown (process 90 process 80) because no such file; …"},

	// The clock and runsc.
	{"no time service runs", func(o *Observed) { o.Clock.Synchronized = false }, "warning clock/clock_not_synchronized: the kernel says that the clock is not synchronized () because …; …"},
	{"the clock was set back", sandbox(func(s *Sandbox) { s.CreatedAt = now.Add(time.Hour) }),
		"warning clock/clock_set_back: 1 sandbox: created in the future () because …; …"},
	{"a release is old", sandbox(func(s *Sandbox) { s.Version = "release-20251103.0" }),
		"warning runsc/runsc_old: 1 sandbox: runsc is 392 days old (release-20251103.0) () because …; install a current runsc, and create the sandboxes again"},
	{"a build without a release is old", func(o *Observed) {
		o.Sandboxes[0].Version, o.Runscs[0].Built = "VERSION_MISSING", now.AddDate(-2, 0, 0)
	}, "warning runsc/runsc_old: 1 sandbox: runsc is 730 days old (VERSION_MISSING) () because …; …"},
	{"runsc was upgraded under a sandbox", func(o *Observed) { o.Runscs[0].Replaced = true },
		"warning runsc/runsc_replaced: 1 sandbox: their runsc is not on disk any more () because …; create the sandboxes again to run the installed release"},

	{"there is no /proc", func(o *Observed) { o.Failed = "open /proc/self/mountinfo: no such file or directory" },
		"problem completeness/sandboxes_not_examined: the sandboxes were not examined () because open /proc/self/mountinfo: no such file or directory; run this command as root, with /proc mounted, and again if it ran out of time"},
	{"there was no time to query the server", func(o *Observed) {
		o.Servers[0].Unasked, o.Servers[0].Err, o.Servers[0].Sandboxes = true, "it was not queried in time", nil
		o.Incomplete = []string{"servers: no time was left to query them"}
	}, "warning completeness/incomplete: a part of this examination is missing () because servers: no time was left to query them; run this command as root, and again if it ran out of time"},
	{"a configuration file is not readable", func(o *Observed) { o.Incomplete = []string{"/etc/docker/daemon.json: permission denied"} },
		"warning completeness/incomplete: a part of this examination is missing () because /etc/docker/daemon.json: permission denied; …"},
}

// describe returns a finding in the form of spec. It has "…" where the want has it.
func describe(check string, f *Finding, want string) string {
	_, reasons, _ := strings.Cut(want, " because ")
	why, change := f.Why, f.Change
	if strings.HasPrefix(reasons, "…") {
		why = "…"
	}
	if strings.HasSuffix(reasons, "; …") {
		change = "…"
	}
	return fmt.Sprintf("%s %s/%s: %s (%s) because %s; %s", f.Level, check, f.Cause, f.What, strings.Join(f.Where, " "), why, change)
}

func TestCauses(t *testing.T) {
	provoked := make(map[string]bool)
	for _, c := range spec {
		o := healthy()
		c.change(o)
		report := Examine(o)
		var got []string
		for _, r := range report.Results {
			for i := range r.Findings {
				f := &r.Findings[i]
				provoked[r.Check+"/"+f.Cause] = true
				got = append(got, describe(r.Check, f, c.want))
				if f.Why == "" || f.Change == "" || r.Level < f.Level || report.Level < f.Level {
					t.Errorf("%s: %+v in a result of level %s", c.name, f, r.Level)
				}
			}
		}
		if len(got) != 1 || got[0] != c.want {
			t.Errorf("%s:\n\t%s\nwant\n\t%s", c.name, strings.Join(got, "\n\t"), c.want)
		}
	}
	for _, check := range Checks() {
		for _, cause := range check.Causes {
			if !provoked[check.Name+"/"+cause.Name] {
				t.Errorf("no line of the specification provokes %s/%s", check.Name, cause.Name)
			}
			delete(provoked, check.Name+"/"+cause.Name)
		}
	}
	for name := range provoked {
		t.Errorf("%s is not a cause of its check", name)
	}
}

// A fine reports findings about a changed node that is healthy all the same.
type fine struct{ *testing.T }

func (t fine) with(name string, change func(o *Observed)) {
	t.Helper()
	o := healthy()
	change(o)
	for _, r := range Examine(o).Results {
		if len(r.Findings) > 0 || r.Summary == "" || r.Level != OK {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestHealthy: what is not wrong has no findings.
func TestHealthy(t *testing.T) {
	fine := fine{t}.with
	fine("nothing is changed", func(*Observed) {})
	fine("no sandbox runs", func(o *Observed) { o.Sandboxes = nil })
	fine("a sandbox has ended", func(o *Observed) {
		o.Sandboxes[0].Running, o.Sandboxes[0].Status, o.Servers[0].Sandboxes = false, StatusNotRunning, o.Servers[0].Sandboxes[1:]
	})
	fine("a sandbox began a moment ago", func(o *Observed) { o.Sandboxes[0].CreatedAt, o.Servers[0].Sandboxes = now, o.Servers[0].Sandboxes[1:] })
	fine("sandboxes share the host's network", absent("network_shared"))
	fine("a user with both capabilities", self(func(p *Process) { p.UID, p.Capabilities = 1000, capDACOverride|capSysPtrace }))
	fine("a container with the PID namespace of its sandboxes", func(o *Observed) { o.Self.PIDNamespace, o.Servers[0].Process.PIDNamespace = 5, 5 })
	fine("a process of a runsc that was not examined has a flag", func(o *Observed) {
		o.Runscs = append(o.Runscs, Runsc{PID: 30, FinalMetricsLog: "/var/final.log", Replaced: true})
	})
	fine("a registration is in a file", func(o *Observed) { o.Programs, o.RegistrationFile = nil, true })
	fine("the runtimes have --metric-server", func(o *Observed) { o.Programs, o.Runtimes = nil, []Runtime{{MetricServer: "/run/metrics.sock"}} })
	fine("final metrics logs match", func(o *Observed) {
		o.Servers[0].Settings.FinalMetricsLog, o.Runscs[0].FinalMetricsLog = "/var/final/%ID%.log", "/var/final/%ID%.log"
		o.FinalLogs = []FinalLogDir{{Pattern: "/var/final/%ID%.log", Dir: "/var/final"}}
	})
	fine("kubelet has the gate, and the server its own names", func(o *Observed) { o.Kubelets = []Kubelet{{PID: 90, StatsFromCRI: true}} })
	fine("a kubelet without the gate", func(o *Observed) { o.Servers[0].Settings.Usage, o.Kubelets = "both", []Kubelet{{PID: 90}} })
	fine("the state of the clock is unknown", func(o *Observed) { o.Clock = Clock{} })
}

// TestHealthyServers: servers that are not wrong have no findings.
func TestHealthyServers(t *testing.T) {
	fine := fine{t}.with
	fine("a second server serves a sandbox that the first one does not", func(o *Observed) {
		second := o.Servers[0]
		second.Sandboxes = o.Servers[0].Sandboxes[:1]
		o.Servers[0].Sandboxes = o.Servers[0].Sandboxes[1:]
		o.Servers = append(o.Servers, second)
	})
	fine("a server in a container sees the root at another path", func(o *Observed) {
		for i := range o.Servers[0].Sandboxes {
			o.Servers[0].Sandboxes[i].Root = "/host/runsc"
		}
	})
	fine("one of the usual roots of a server does not exist", func(o *Observed) {
		o.Roots = append(o.Roots, Root{Path: "/var/run/runsc", Origin: OfServer, PID: 80, Missing: true, Err: "no such file or directory"})
	})
	fine("nothing listens at the usual address, and a server does elsewhere", func(o *Observed) {
		o.Servers = append(o.Servers, Server{Address: "localhost:19640", Missing: true, Err: "nothing listens"})
	})
	fine("the server serves the roots of a glob", func(o *Observed) { o.Servers[0].Settings.Roots = []string{"/run/containerd/runsc/*"} })
	for _, reason := range ofObserver {
		fine("a sandbox has metrics on the server, and here "+string(reason), sandbox(func(s *Sandbox) { s.Status, s.Reason = StatusFailed, string(reason) }))
	}
	fine("a server of other roots is in another PID namespace and has a low limit", func(o *Observed) {
		o.Servers = append(o.Servers, Server{Address: "/run/other.sock", PID: 81, Process: Process{PID: 81, Known: true, UID: 1000, PIDNamespace: 5, OpenFiles: 64},
			Settings: Settings{Command: "serve", Roots: []string{"/other"}, Usage: "both", FinalMetricsLog: "/f/%ID%"}, Err: "deadline exceeded"})
	})
	fine("a server of a root without sandboxes is in another PID namespace", func(o *Observed) {
		o.Roots = append(o.Roots, Root{Path: "/var/run/runsc", Origin: Usual})
		o.Servers = append(o.Servers, Server{PID: 81, Process: Process{PID: 81, Known: true, PIDNamespace: 5, OpenFiles: 1024}, Settings: Settings{Command: "serve", Roots: []string{"/var/run/runsc"}}})
	})
	fine("a server has the pattern of its sandboxes, and sandboxes of another server have none", func(o *Observed) {
		o.Servers[0].Settings.FinalMetricsLog, o.Runscs[0].FinalMetricsLog, o.Runscs[1].FinalMetricsLog = "/var/final/%ID%.log", "/var/final/%ID%.log", "/var/final/%ID%.log"
		o.Roots = append(o.Roots, Root{Path: "/other"})
		o.Sandboxes = append(o.Sandboxes, Sandbox{ID: "c", Root: "/other", PID: 30, Running: true, Status: StatusOK})
		o.Runscs = append(o.Runscs, Runsc{PID: 30})
		o.Servers = append(o.Servers, Server{Address: "/run/other.sock", Settings: Settings{Command: "serve", Roots: []string{"/other"}}, Sandboxes: []Served{{ID: "c", Status: StatusOK}}})
	})
}

// TestUnknownServer: as long as a server that does not tell may serve a sandbox, the sandbox does
// not count as not served.
func TestUnknownServer(t *testing.T) {
	check := func(name string, want bool, unknown Server) {
		t.Helper()
		o := healthy()
		o.Servers[0].Sandboxes = nil
		o.Servers = append(o.Servers, unknown)
		isNotServed := func(f Finding) bool { return f.Cause == notServed.Name }
		if got := slices.ContainsFunc(Examine(o).Results[0].Findings, isNotServed); got != want {
			t.Errorf("%s: the sandboxes count as not served: %t", name, got)
		}
	}
	of := func(root string) Settings { return Settings{Command: "serve", Roots: []string{root}} }
	check("one wants a password", false, Server{Err: "no password", Refused: true})
	check("one of the same root wants a password", false, Server{PID: 81, Err: "no password", Refused: true, Settings: of("/run/containerd/runsc/*")})
	check("one of another root wants a password", true, Server{PID: 81, Err: "no password", Refused: true, Settings: of("/other")})
	check("one in a container, of the same root", false, Server{PID: 81, Err: "refused", Missing: true, Elsewhere: true, Settings: of("/run/containerd/runsc/*")})
	check("one in a container, with other paths", false, Server{PID: 81, Err: "refused", Missing: true, Elsewhere: true, Settings: of("/host/runsc")})
	check("nothing at the usual address", true, Server{Err: "refused", Missing: true})
	began := healthy().Sandboxes[0].CreatedAt
	check("one with --max-age, from before the sandboxes began", false, Server{PID: 81, Settings: of("/run/containerd/runsc/*"), AsOf: began.Add(-time.Minute)})
	check("one with --max-age, from later", true, Server{PID: 81, Settings: of("/run/containerd/runsc/*"), AsOf: began.Add(time.Hour)})
}

// TestUntrustedServers: what other users pass off as servers and as runtime roots adds few warnings, and
// changes no other finding.
func TestUntrustedServers(t *testing.T) {
	causes := func(o *Observed) (all []string) {
		for _, r := range Examine(o).Results {
			for _, f := range r.Findings {
				all = append(all, f.Cause+" "+strings.Join(f.Where, " "))
			}
		}
		return all
	}
	for _, c := range spec {
		alone, beside := healthy(), healthy()
		c.change(alone)
		c.change(beside)
		beside.UntrustedServers = append(beside.UntrustedServers, UntrustedServer{PID: 9, Why: "it runs as user 9"}, UntrustedServer{Address: "localhost:19640", Why: "user 9 listens there"})
		isNew := func(cause string) bool {
			return cause == serverUntrusted.Name+" process 9" || cause == serverUntrusted.Name+" the server at localhost:19640"
		}
		if got, want := slices.DeleteFunc(causes(beside), isNew), causes(alone); !slices.Equal(got, want) {
			t.Errorf("%s: with untrusted servers %q, without %q", c.name, got, want)
		}
	}
	o := healthy()
	for i := range 1000 {
		o.UntrustedServers = append(o.UntrustedServers, UntrustedServer{PID: 1000 + i, Why: "it runs as user 9"}, UntrustedServer{PID: 3000 + i, Why: fmt.Sprintf("it runs as user %d", i)})
	}
	for i := range 1000 {
		o.Roots = append(o.Roots, Root{Path: fmt.Sprintf("/none%d", i), Origin: OfProcess, PID: 1000 + i, Missing: true, Err: "no such file"},
			Root{Path: fmt.Sprintf("/home/%d", i), Origin: OfProcess, PID: 3000 + i, Untrusted: fmt.Sprintf("/home/%d belongs to user %d", i, i)})
	}
	report := Examine(o)
	if first := report.Results[0].Findings[0]; report.Problems != 0 || report.Warnings != 2*(maxGroups+1) || first.What != "1001 servers of other users are ignored" {
		t.Errorf("%d problems, %d warnings, %s", report.Problems, report.Warnings, first.What)
	}
}

// TestReplyWithoutIteration: a reply that does not say which sandbox it is about does not stand in
// for metrics.
func TestReplyWithoutIteration(t *testing.T) {
	o := healthy()
	o.Sandboxes[0].Status, o.Sandboxes[0].Reason = StatusFailed, string(failure.NotInstrumented)
	o.Servers[0].Sandboxes[0].Iteration = ""
	if report := Examine(o); report.Problems != 1 {
		t.Errorf("%d problems", report.Problems)
	}
}

// TestManySandboxes: equal findings are one, and different ones are few.
func TestManySandboxes(t *testing.T) {
	o := healthy()
	o.Servers[0].Sandboxes, o.Sandboxes = nil, nil
	o.Servers[0].Err, o.Servers[0].Refused = "no password", true
	const n = 1000
	for i := range n {
		o.Sandboxes = append(o.Sandboxes, Sandbox{ID: fmt.Sprintf("equal%04d", i), Running: true, Status: StatusFailed, Reason: "stalled", Detail: "no reply within 2s"},
			Sandbox{ID: fmt.Sprintf("other%04d", i), Running: true, Status: StatusFailed, Reason: "wrong_peer", Detail: fmt.Sprintf("process %d listens", i)})
	}
	r := Examine(o).Results[slices.IndexFunc(Checks(), func(c Check) bool { return c.Name == "sandboxes" })]
	var whats []string
	for _, f := range r.Findings {
		whats = append(whats, f.What)
	}
	want := []string{"1000 sandboxes: stalled"}
	for range maxGroups {
		want = append(want, "1 sandbox: another process listens on the control socket")
	}
	want = append(want, "995 sandboxes: another process listens on the control socket")
	if !slices.Equal(whats, want) || r.Summary != "metrics of 0 of 2000 running sandboxes" {
		t.Errorf("%s, %q", r.Summary, whats)
	}
}

// TestReasons: there is a meaning for each reason of a failure.
func TestReasons(t *testing.T) {
	for _, r := range failure.Reasons {
		if m := meanings[string(r)]; m.means == "" || m.change == "" || whats[r] == "" {
			t.Errorf("%s has no meaning", r)
		}
	}
}
