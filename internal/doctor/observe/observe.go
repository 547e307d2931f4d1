// Package observe observes a node for the package doctor: processes, runtime roots, limits,
// configuration files, sandboxes and servers. It reads only, except that it makes an inotify
// instance for a moment, and that it queries each running sandbox once, as a scrape does and with
// the same code.
//
// What it reads may be hostile: every user can start a process with any command line, and a sandbox
// can change its own. So files and command lines are read with limits, settings and replies of
// servers count only if they are of root or of this user, a runtime root that a process names is
// examined only if both are the only ones who can write it, and credentials go to the address that
// the user gave, and to no other.
package observe

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/clock"
	"github.com/sandmeter/sandmeter/internal/doctor"
	"github.com/sandmeter/sandmeter/internal/guard"
	"github.com/sandmeter/sandmeter/internal/registration"
	"github.com/sandmeter/sandmeter/metricclient"
)

// Options configure an observation.
type Options struct {
	// HostRoot is the directory below which proc, cgroups and configuration files are. Empty: /.
	HostRoot string
	// Roots are the runtime roots to examine: directories, or globs. Empty: all that are found, at the
	// usual places too.
	Roots []string
	// UsualRoots are globs.
	UsualRoots []string
	// Address is that of a server, and Given whether the user gave it.
	Address string
	Given   bool
	// Connect returns a client of the server at an address.
	Connect func(address string) (*metricclient.MetricClient, error)
	// ParseServer returns the settings of a process if its command line is that of a server. getenv
	// returns the value of a variable of its environment.
	ParseServer func(args []string, getenv func(name string) string) (s doctor.Settings, isServer bool, err error)
	// CheckService returns the settings of a server with an environment, and why it would not start.
	// Nil: the service of the package is not looked at.
	CheckService func(getenv func(name string) string) (doctor.Settings, error)
	// Settings are those that a server would have that this user starts.
	Settings doctor.Settings
	// Progress is called with what begins. Nil: no call.
	Progress func(what string)
}

// maxTime limits an observation, whatever it waits for.
const maxTime = time.Minute

// Node observes the node. It returns what it could observe until ctx is done, or until a minute has
// passed.
func Node(ctx context.Context, o Options) *doctor.Observed {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	if o.HostRoot == "" {
		o.HostRoot = "/"
	}
	n := &node{Options: o, guard: guard.New(clock.Real), observed: new(doctor.Observed), paths: make(map[int]string),
		started: make(map[int]startedSandbox), gofers: make(map[startedSandbox]string)}
	n.observed.Time = time.Now()
	n.observed.Kernel = kernel()
	n.progress("Reading processes")
	n.processes(ctx)
	n.service()
	n.findRoots(ctx)
	n.configurations()
	n.progress("Looking at runtime roots")
	n.inspect(ctx)
	n.shownPrograms()
	n.progress("Asking servers")
	n.askServers(ctx)
	n.lookAgain()
	n.observed.Clock = readClock()
	n.kubelets()
	n.finalLogs()
	return n.observed
}

// A node is an observation under way.
type node struct {
	Options
	guard         *guard.Guard // for calls that touch runtime roots
	observed      *doctor.Observed
	named         []namedRoot    // runtime roots in command lines
	paths         map[int]string // $PATH of servers, by PID
	started       map[int]startedSandbox
	gofers        map[startedSandbox]string // the programs of their gofers
	kubeletsFound []proc
}

func (n *node) progress(what string) {
	if n.Progress != nil {
		n.Progress(what)
	}
}

func (n *node) incomplete(what string) {
	if !slices.Contains(n.observed.Incomplete, what) {
		n.observed.Incomplete = append(n.observed.Incomplete, what)
	}
}

// host returns a path below the root directory of the host.
func (n *node) host(path string) string { return filepath.Join(n.HostRoot, path) }

func kernel() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

// settings are those of the server with which the sandboxes are compared: of the first one that
// serves one of the roots, or those that a server would have that this user starts. path is its
// $PATH.
func (n *node) settings() (set *doctor.Settings, path string) {
	for i := range n.observed.Servers {
		s := &n.observed.Servers[i]
		if slices.ContainsFunc(n.examinedRoots(), s.Settings.Has) {
			return &s.Settings, cmp.Or(n.paths[s.PID], os.Getenv("PATH"))
		}
	}
	return &n.Settings, os.Getenv("PATH")
}

// shownPrograms adds the programs that started running sandboxes, where no configuration names them.
func (n *node) shownPrograms() {
	for _, s := range n.observed.Sandboxes {
		i := slices.IndexFunc(n.observed.Runscs, func(r doctor.Runsc) bool { return s.Running && r.PID == s.PID })
		if i < 0 {
			continue
		}
		path := n.host(n.observed.Runscs[i].Program)
		if !slices.Contains(n.observed.Programs, path) && registration.UsableIfShown(path) {
			n.observed.Programs = append(n.observed.Programs, path)
		}
	}
}

// configurations reads which runsc the container runtimes are configured with.
func (n *node) configurations() {
	runtimes, err := registration.Runtimes(n.HostRoot)
	if err != nil {
		n.incomplete("configurations of container runtimes: " + err.Error())
	}
	for _, r := range runtimes {
		n.observed.Runtimes = append(n.observed.Runtimes, doctor.Runtime{
			File:            r.File,
			FinalMetricsLog: flagValue(r.Flags, "final-metrics-log"),
			MetricServer:    flagValue(r.Flags, "metric-server"),
		})
	}
	set, path := n.settings()
	n.observed.RegistrationFile = set.RegistrationFile != ""
	n.observed.Programs, _ = registration.Programs(n.HostRoot, path, set.Runsc...) // the error was the same
}
