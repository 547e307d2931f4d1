// Package observe observes a node for the package doctor: servers by their listening sockets, the
// documents with which they describe themselves, and processes of sandboxes. Without a server, it
// runs one in its own process. It only reads, except that this server queries sandboxes as a scrape
// does.
//
// Other users may be hostile: they can start a process with any name and command line, and listen at
// any address. So only processes that root or this user started count, and only sockets that they
// made. Of any other process, only the status is read, which the kernel writes, and the name of the
// program file. Files are opened without waiting and read with limits, credentials go only to the
// address that the user gave, and calls that touch a runtime root may hang without harm.
package observe

import (
	"context"
	"os"
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/clock"
	"github.com/sandmeter/sandmeter/internal/doctor"
	"github.com/sandmeter/sandmeter/internal/guard"
	"github.com/sandmeter/sandmeter/metricclient"
	"github.com/sandmeter/sandmeter/metricserver"
)

// Options configure an observation.
type Options struct {
	Proc string // the directory /proc
	// Roots are the runtime roots to examine: directories, or globs. Empty: the usual ones, and those
	// that processes of sandboxes name.
	Roots      []string
	UsualRoots []string // globs
	// Address is the address of a server. If it is Given by the user, other servers do not count.
	Address string
	Given   bool
	// Connect returns a client of the server at an address.
	Connect func(address string) *metricclient.MetricClient
	// Server has the options of the server in this process, except for its runtime roots.
	Server metricserver.Options
}

// maxTime limits an observation, whatever it waits for.
const maxTime = 50 * time.Second

// A node is an observation under way.
type node struct {
	Options
	*doctor.Observed
	guard    *guard.Guard // for calls that touch runtime roots
	found    []listening  // processes of servers
	examined []string     // runtime roots that processes name and that nobody else can change
}

// Node observes the node. When ctx is done, or after maxTime, it returns the observations so far.
func Node(ctx context.Context, o Options) *doctor.Observed {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	n := &node{Options: o, guard: guard.New(clock.Real), Observed: &doctor.Observed{
		Time: time.Now(), Servers: []doctor.Server{}, Processes: []doctor.Process{}, NotExamined: []doctor.Root{}, Ignored: []string{}, Incomplete: []string{},
		Stopped: make(map[int]string), RootsGiven: len(o.Roots) > 0,
	}}
	n.PIDNamespace = n.namespace(os.Getpid(), "pid")
	n.processes(ctx)
	n.examineRoots()
	n.servers(ctx)
	if n.RootsGiven || !slices.ContainsFunc(n.Servers, func(s doctor.Server) bool { return s.Status != nil }) {
		n.local(ctx, n.roots())
	}
	n.lookForStateFiles()
	n.lookForStopped()
	if ctx.Err() != nil {
		n.incomplete("no time was left to examine everything")
	}
	return n.Observed
}

func (n *node) incomplete(what string) {
	n.Incomplete = append(n.Incomplete, what)
}

// ignore records a process or an address of another user.
func (n *node) ignore(what string) {
	const limit = 100
	if len(n.Ignored) < limit {
		n.Ignored = append(n.Ignored, what)
	}
}
