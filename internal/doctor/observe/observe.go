// Package observe observes a node for the package doctor: processes, runtime roots, limits,
// configuration files, sandboxes and servers. It reads only, except that it makes an inotify instance
// for a moment, and that it queries each running sandbox once, as a scrape does and with the same
// code.
//
// What it reads may be hostile: every user can start a process with any command line, and a sandbox
// can change its own. So files and command lines are read with limits, a runtime root that a process
// names is examined only if root and this user are the only ones who can write it, and credentials go
// to the address that the user gave, and to no other.
package observe

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/doctor"
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
	n := &node{Options: o, observed: new(doctor.Observed)}
	n.observed.Time = time.Now()
	n.observed.Kernel = kernel()
	n.progress("Reading processes")
	n.processes(ctx)
	n.findRoots()
	n.configurations()
	n.progress("Looking at runtime roots")
	n.inspect(ctx)
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
	observed      *doctor.Observed
	named         []namedRoot // runtime roots in command lines
	path          string      // $PATH of a server
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

// settings are those of the server that a reader of the report cares about: of the first one whose
// process was found, or those that a server would have that this user starts.
func (n *node) settings() *doctor.Settings {
	for i := range n.observed.Servers {
		if s := &n.observed.Servers[i]; s.Settings.Command != "" {
			return &s.Settings
		}
	}
	return &n.Settings
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
	set := n.settings()
	n.observed.RegistrationFile = set.RegistrationFile != ""
	n.observed.Programs = set.Runsc
	if len(set.Runsc) == 0 {
		n.observed.Programs, _ = registration.Programs(n.HostRoot, n.searchPath()) // the error was the same
	}
}

// searchPath returns the $PATH in which a server finds runsc.
func (n *node) searchPath() string {
	if n.path != "" {
		return n.path
	}
	return os.Getenv("PATH")
}
