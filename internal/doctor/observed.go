package doctor

import (
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Observed is what was observed of a node. It is plain data, which checks do not change.
type Observed struct {
	Time      time.Time
	Kernel    string    // release
	Self      Process   // this program
	Roots     []Root    // examined or not, in the order in which they were found
	MaxRoots  int       // how many with sandboxes a server serves
	Sandboxes []Sandbox // of all roots, by ID
	Servers   []Server
	// UntrustedServers are processes with command lines of servers, and addresses of servers, that another
	// user chose. What they say is not used.
	UntrustedServers []UntrustedServer
	Runscs           []Runsc   // processes of sandboxes, sorted by PID
	Runtimes         []Runtime // configured runtimes with runsc
	Programs         []string  // of runsc, from which registrations can be read
	// RegistrationFile is whether a registration was given in a file.
	RegistrationFile bool
	Service          Service
	Inotify          Inotify
	FinalLogs        []FinalLogDir
	Kubelets         []Kubelet
	Clock            Clock
	// Failed says why the sandboxes were not examined; empty: they were.
	Failed string
	// Incomplete says what could not be observed, and why.
	Incomplete []string
	// Log is what a server with these settings would log.
	Log []string
}

// running returns the sandboxes that run.
func (o *Observed) running() []*Sandbox {
	var running []*Sandbox
	for i := range o.Sandboxes {
		if o.Sandboxes[i].Running {
			running = append(running, &o.Sandboxes[i])
		}
	}
	return running
}

// Relevant returns the servers that have to do with the sandboxes and roots that were examined, or
// that the user gave. If there is no such server, all are relevant: one of them should serve the
// sandboxes.
func (o *Observed) Relevant() []*Server {
	var all, relevant []*Server
	for i := range o.Servers {
		s := &o.Servers[i]
		all = append(all, s)
		if s.Given || o.concerns(s) {
			relevant = append(relevant, s)
		}
	}
	if len(relevant) == 0 {
		return all
	}
	return relevant
}

// mayServe reports whether a server that does not tell may serve a root: it is one of its roots, or
// the settings are not known, or the server sees its roots at other paths because it is in a
// container.
func (o *Observed) mayServe(s *Server, root string) bool {
	switch {
	case s.PID == 0 && s.Missing: // nothing is there
		return false
	case len(s.Settings.Roots) == 0 || s.Settings.Has(root):
		return true
	}
	return s.Elsewhere && !slices.ContainsFunc(o.Roots, func(r Root) bool { return s.Settings.Has(r.Path) })
}

// concerns reports whether a server serves an examined root, or a sandbox of one, or may do so
// because it does not tell.
func (o *Observed) concerns(s *Server) bool {
	return s.Err != "" && !s.Missing && len(s.Settings.Roots) == 0 || slices.ContainsFunc(o.Roots, func(r Root) bool { return s.Settings.Has(r.Path) }) ||
		slices.ContainsFunc(o.Sandboxes, func(sandbox Sandbox) bool { return s.find(&sandbox) != nil })
}

// reachable returns the relevant servers that replied.
func (o *Observed) reachable() []*Server {
	return slices.DeleteFunc(o.Relevant(), func(s *Server) bool { return s.Err != "" })
}

// A Process is what the kernel tells about a process.
type Process struct {
	PID          int
	Known        bool // the other fields were readable
	UID          int  // effective
	Capabilities uint64
	PIDNamespace uint64 // inode
	OpenFiles    uint64 // limit on open files
	// Replaced is whether its program file was removed or replaced since it began.
	Replaced bool
}

// Capabilities of Linux, as bits.
const (
	capDACOverride = 1 << 1
	capSysPtrace   = 1 << 19
)

func (p *Process) has(capability uint64) bool { return p.Capabilities&capability != 0 }

// An Origin tells how a runtime root was found.
type Origin string

// The origins.
const (
	Given     Origin = "flag"    // --root
	OfServer  Origin = "server"  // a running server
	OfProcess Origin = "process" // --root of a process of runsc
	Usual     Origin = "usual"   // it is at a usual place
)

// A Root is a runtime root.
type Root struct {
	Path    string
	Origin  Origin
	PID     int    // of the process that names it, if that is the origin
	Missing bool   // it does not exist
	Err     string // why it could not be read; empty: it could
	// Denied is whether Err is about permission.
	Denied bool
	// Untrusted says why the sandboxes of the root were not examined: others than root and this
	// user can write it. Empty: they were.
	Untrusted string
	LeftOut   bool // there were too many
	Files     []FileError
}

// A FileError says why a state file could not be read.
type FileError struct{ Name, Err string }

// Query statuses of a sandbox, which are those of the JSON API.
const (
	StatusOK         = "ok"
	StatusFailed     = "failed"
	StatusNotRunning = "not_running"
)

// A Sandbox is a sandbox in a runtime root, with the result of the query that this program made.
type Sandbox struct {
	ID           string
	Iteration    string
	Root         string
	Pod          string // chosen by users
	Namespace    string // chosen by users
	PID          int
	CreatedAt    time.Time
	Running      bool
	Status       string
	Reason       string // why it has no metrics
	Detail       string // the whole error; printable
	Stopped      bool   // by a signal, or by a debugger
	UsageAbsent  []string
	Version      string // of runsc
	MetricServer string // --metric-server
}

// A Served is a sandbox as a server reports it.
type Served struct {
	ID        string
	Iteration string // empty: the server does not tell
	Root      string
	Status    string
	Reason    string
	Hidden    string
}

// A Server is a running server.
type Server struct {
	Address string
	PID     int    // 0: its process is not known
	Given   bool   // its address is that of --address
	Err     string // why it did not reply; empty: it did
	Missing bool   // nothing listens at the address
	// Elsewhere is whether the process has another network namespace or, with a Unix socket, another
	// mount namespace, so that its address means something else here.
	Elsewhere bool
	// Untrusted says why a reply would not count, so that Err is set too: another user listens at the
	// address. Empty: it counts.
	Untrusted string
	// Unasked is whether there was no time to query the server, so that Err is not about it.
	Unasked  bool
	Refused  bool     // it does not accept the credentials, or TLS failed
	Denied   bool     // this user may not connect
	Process  Process  // of PID
	Settings Settings // of PID
	// SettingsErr says why the settings are not known.
	SettingsErr string
	Sandboxes   []Served // sorted by ID
	// AsOf is when the server found what it says of sandboxes, which is a while ago with --max-age. Zero:
	// when it was asked.
	AsOf time.Time
}

// An UntrustedServer is a process or an address that another user than root and the one of this program
// passes off as a server.
type UntrustedServer struct {
	PID     int    // 0: it is an address
	Address string // if PID is 0
	Why     string // it is not trusted
}

// name returns a name for texts.
func (s *UntrustedServer) name() string {
	if s.PID != 0 {
		return process(s.PID)
	}
	return "the server at " + s.Address
}

// name returns a name for texts.
func (s *Server) name() string {
	if s.PID != 0 {
		return process(s.PID)
	}
	return "the server at " + s.Address
}

// find returns the sandbox as the server reports it, or nil.
func (s *Server) find(sandbox *Sandbox) *Served {
	i, _ := slices.BinarySearchFunc(s.Sandboxes, sandbox.ID, func(served Served, id string) int { return strings.Compare(served.ID, id) })
	for ; i < len(s.Sandboxes) && s.Sandboxes[i].ID == sandbox.ID; i++ {
		if served := &s.Sandboxes[i]; served.Iteration == "" || served.Iteration == sandbox.Iteration {
			return served
		}
	}
	return nil
}

// serves reports whether the server serves a sandbox, by what it says or by its settings.
func (s *Server) serves(sandbox *Sandbox) bool {
	return s.Settings.Has(sandbox.Root) || s.find(sandbox) != nil
}

// Settings are those of a server that checks need.
type Settings struct {
	Command string // serve or metric-server
	Roots   []string
	// SameRoots are runtime roots of the observation that are among Roots by another path, as
	// /var/run/runsc and /run/runsc are.
	SameRoots        []string
	Addresses        []string
	MatchAddress     string // only sandboxes with this --metric-server
	OnlyInstrumented bool
	Usage            string
	FinalMetricsLog  string
	Runsc            []string
	RegistrationFile string
}

// cadvisorNames reports whether the server has families with cAdvisor's names.
func (s *Settings) cadvisorNames() bool { return s.Usage == "cadvisor" || s.Usage == "both" }

// Has reports whether the settings have a runtime root, by one of its paths or by a glob.
func (s *Settings) Has(root string) bool {
	return slices.Contains(s.SameRoots, root) || slices.ContainsFunc(s.Roots, func(configured string) bool {
		matches, err := filepath.Match(configured, root)
		return configured == root || err == nil && matches
	})
}

// A Service is what the settings of the package's service say, if no server runs.
type Service struct {
	File string // empty: there is none, or a server runs
	Err  string // why a server with these settings does not start; empty: nothing is known against it
}

// A Runsc is the process of a sandbox's kernel, by its command line, which the sandbox may have
// changed.
type Runsc struct {
	PID             int
	FinalMetricsLog string
	Program         string    // path of the runsc that started it; empty: not readable
	Replaced        bool      // the file was removed or replaced since it began
	Built           time.Time // zero: not known
}

// A Runtime is a configured runtime with runsc.
type Runtime struct {
	File            string
	FinalMetricsLog string
	MetricServer    string
}

// Inotify is the result of watching all roots as a server does.
type Inotify struct {
	Instances string // why no instance could be made; empty: it could
	Watches   string // why not all roots could be watched
	// The limits of the kernel; 0: not known.
	MaxInstances, MaxWatches int
}

// A FinalLogDir is the directory of a --final-metrics-log.
type FinalLogDir struct {
	Pattern string
	Dir     string
	// Writers says who can write the directory or replace it, besides root. Empty: nobody.
	Writers string
	// Literal is a file whose name has a placeholder of the pattern. Empty: there is none.
	Literal string
}

// A Kubelet is a process of kubelet.
type Kubelet struct {
	PID  int
	File string // configuration file; empty: none
	Err  string // why its settings are not known
	// StatsFromCRI is whether the feature gate PodAndContainerStatsFromCRI is on, and SetBy what
	// turned it on.
	StatsFromCRI bool
	SetBy        string
}

// A Clock is the state of the wall clock.
type Clock struct {
	Known        bool
	Synchronized bool
}
