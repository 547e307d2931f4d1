package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/config"
)

// The causes of servers.
var (
	noServer          = Cause{"no_server", Warning}
	serviceSettings   = Cause{"service_settings", Problem}
	serverUnreachable = Cause{"server_unreachable", Problem}
	serverAccess      = Cause{"server_access", Warning}
	serverUntrusted   = Cause{"server_not_trusted", Warning}
	serverReplaced    = Cause{"server_replaced", Warning}
	serverSettings    = Cause{"server_settings", Warning}
	notServed         = Cause{"sandbox_not_served", Problem}
	servedWithout     = Cause{"sandbox_failed_on_server", Problem}
	sandboxHidden     = Cause{"sandbox_hidden", Warning}
)

var serversCheck = Check{"servers", []Cause{noServer, serviceSettings, serverUnreachable, serverAccess, serverUntrusted, serverReplaced, serverSettings, notServed, servedWithout, sandboxHidden}, judgeServers}

// judgeServers judges running servers, and compares what they serve with what was found.
func judgeServers(o *Observed) (string, []Finding) {
	var findings []Finding
	for _, s := range o.Relevant() {
		findings = append(findings, judgeServer(s)...)
	}
	if len(o.reachable()) == 0 && len(findings) == 0 && !slices.ContainsFunc(o.Servers, func(s Server) bool { return s.Unasked }) {
		findings = append(findings, judgeAbsence(&o.Service))
	}
	findings = append(findings, judgeUntrusted(o.UntrustedServers)...)
	return summarizeServers(o), append(findings, compare(o)...)
}

// judgeUntrusted returns the findings about what other users pass off as servers, those of one
// reason together.
func judgeUntrusted(servers []UntrustedServer) []Finding {
	var l lists
	for i := range servers {
		s := &servers[i]
		l.add(untrusted(s.Why), s.name())
	}
	return l.findings(func(n int) string { return count(n, "server") + " of other users " + be(n) + " ignored" })
}

// untrusted returns the finding about a server of another user.
func untrusted(why string) Finding {
	return serverUntrusted.finding("a server of another user is ignored", why,
		"give the address of the server with --address if you trust its user; otherwise find out what that user does")
}

// judgeAbsence returns the finding of a node without a server.
func judgeAbsence(s *Service) Finding {
	const why = "nothing listens at the usual address, and no process of a server is visible here"
	switch {
	case s.Err != "":
		return serviceSettings.finding("no server is running, and the service would not start", s.Err,
			"correct the file, then run systemctl restart sandmeter").at(s.File)
	case s.File != "":
		return noServer.finding("no server is running", why,
			"run systemctl start sandmeter; if it ends, journalctl -u sandmeter says why").at(s.File)
	}
	return noServer.finding("no server is running", why, "start one with sandmeter serve, or give the address of a server with --address")
}

func summarizeServers(o *Observed) string {
	servers := o.reachable()
	var names []string
	for _, s := range servers {
		name := "server at " + s.Address
		if s.PID != 0 {
			name += " (" + process(s.PID) + ")"
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "no server replied"
	}
	return strings.Join(names, ", ")
}

func process(pid int) string { return fmt.Sprintf("process %d", pid) }

// judgeServer judges one server by itself.
func judgeServer(s *Server) []Finding {
	var findings []Finding
	add := func(f Finding) { findings = append(findings, f.at(s.name())) }
	switch {
	case s.Untrusted != "":
		add(untrusted(s.Untrusted))
	case s.Unasked: // the check completeness says so
	case s.Missing && s.Elsewhere:
		add(serverAccess.finding("what the server at "+s.Address+" serves is unknown", "its address is in a container: "+s.Err,
			"run sandmeter doctor in the container of the server, for example with kubectl exec"))
	case s.Missing && !s.Given && s.PID == 0: // the usual address
	case s.Missing:
		add(serverUnreachable.finding("nothing listens at "+s.Address, s.Err,
			"start a server there, or give its address with --address; look into the log of a server that runs"))
	case s.Refused:
		add(serverAccess.finding("what the server at "+s.Address+" serves is unknown", s.Err,
			"name the server with --address, and give its TLS settings and credentials with --web.client-config.file"))
	case s.Denied:
		add(serverAccess.finding("what the server at "+s.Address+" serves is unknown", s.Err, "run as root, or as a member of the socket's group"))
	case s.Err != "":
		add(serverUnreachable.finding("the server at "+s.Address+" does not reply", s.Err, "look into the log of the server, and restart it"))
	}
	if s.Process.Replaced {
		add(serverReplaced.finding("the program file of the server is not on disk any more",
			"the file was replaced or removed after the server began", "restart the server to run the installed version"))
	}
	if s.SettingsErr != "" {
		add(serverSettings.finding("the settings of the server are unknown", s.SettingsErr, "run this command as root"))
	}
	return findings
}

// compare compares what servers serve with the sandboxes that were found.
func compare(o *Observed) []Finding {
	known := o.reachable()
	if len(known) == 0 {
		return nil
	}
	var g groups
	for _, sandbox := range o.running() {
		compareSandbox(&g, o, known, sandbox)
	}
	return g.findings()
}

// minLife is how old a sandbox has to be, when an observation begins, to count as not served.
// Servers are asked more than a second later, and may tell what they knew up to a second before
// that.
const minLife = 500 * time.Millisecond

// older reports whether what a server says may be from before it could find a sandbox.
func (s *Server) older(sandbox *Sandbox) bool {
	return !s.AsOf.IsZero() && s.AsOf.Sub(sandbox.CreatedAt) < minLife
}

// compareSandbox adds what is wrong with what servers serve of a sandbox.
func compareSandbox(g *groups, o *Observed, known []*Server, sandbox *Sandbox) {
	var served *Served
	var server *Server
	for _, s := range known {
		found := s.find(sandbox)
		if found != nil && (served == nil || found.Status == StatusOK) {
			served, server = found, s
		}
	}
	switch {
	case served == nil:
		unknown := slices.ContainsFunc(o.Servers, func(s Server) bool {
			return (s.Err != "" || s.older(sandbox)) && o.mayServe(&s, sandbox.Root)
		})
		if unknown || o.Time.Sub(sandbox.CreatedAt) < minLife {
			return // a server that did not tell may serve it
		}
		why, change := whyNotServed(known, sandbox)
		g.add(sandbox, notServed.finding("served by no server", why, change).at(sandbox.Root))
	case served.Hidden != "":
		g.add(sandbox, hidden(server, served.Hidden))
	case served.Status == StatusFailed && sandbox.Status == StatusOK:
		m := meanings[served.Reason]
		g.add(sandbox, servedWithout.finding("no metrics on the server, although they reply here",
			"reason "+served.Reason+" on the server: "+m.means, m.change).at(server.name()))
	}
}

// candidate returns the server that one would expect to serve a sandbox: one that serves its root,
// else the one that the user gave.
func candidate(servers []*Server, sandbox *Sandbox) *Server {
	for _, serves := range []func(s *Server) bool{
		func(s *Server) bool { return s.Settings.Has(sandbox.Root) },
		func(s *Server) bool {
			return slices.ContainsFunc(s.Sandboxes, func(served Served) bool { return served.Root == sandbox.Root })
		},
		func(s *Server) bool { return s.Given },
	} {
		if i := slices.IndexFunc(servers, serves); i >= 0 {
			return servers[i]
		}
	}
	return servers[0]
}

// whyNotServed returns why no server serves a sandbox, and what to change.
func whyNotServed(servers []*Server, sandbox *Sandbox) (why, change string) {
	server := candidate(servers, sandbox)
	set := &server.Settings
	switch {
	case set.MatchAddress != "" && config.ExpandAddress(set.MatchAddress, sandbox.Root) != config.ExpandAddress(sandbox.MetricServer, sandbox.Root):
		return fmt.Sprintf("%s serves only sandboxes that were created with --metric-server=%s, and this one was created with %s",
				server.name(), set.MatchAddress, orNone(sandbox.MetricServer)),
			"run sandmeter serve instead, or create the sandbox again with that address"
	case set.OnlyInstrumented && sandbox.MetricServer == "":
		return server.name() + " runs with --only-instrumented, and the sandbox was created without --metric-server",
			"leave out --only-instrumented, or create the sandbox again with runsc's flag --metric-server"
	case set.Has(sandbox.Root):
		return server.name() + " serves " + sandbox.Root + ", and does not list it",
			"look into the log of the server; it may see another directory at this path"
	case len(set.Roots) > 0:
		return fmt.Sprintf("%s serves %s, and not %s", server.name(), strings.Join(set.Roots, ", "), sandbox.Root),
			"add --root " + sandbox.Root + " to the server, or to SANDMETER_ROOT in its environment, and restart it"
	}
	return server.name() + " does not list it",
		"add --root " + sandbox.Root + " to the server if it lacks the runtime root; else look into its log"
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// hidden returns the finding about sandboxes without series.
func hidden(server *Server, why string) Finding {
	f := func(why, change string) Finding {
		return sandboxHidden.finding("no series on the server", why, change).at(server.name())
	}
	switch why {
	case "unregistered":
		return f("a client has unregistered them", "if that was wrong, restart the server; see --web.enable-registration")
	case "series_limit":
		return f("older sandboxes use up --max-sandboxes-with-series", "raise --max-sandboxes-with-series")
	}
	return f("the server hides them: "+why, "look into the log of the server")
}

// A View is a sandbox as one server reports it.
type View struct {
	Server *Server
	Served *Served // nil: the server does not serve it
}

// OnServers returns a function that returns what each relevant server that replied reports about a
// sandbox.
func OnServers(o *Observed) func(sandbox *Sandbox) []View {
	servers := o.reachable()
	return func(sandbox *Sandbox) []View {
		var views []View
		for _, s := range servers {
			views = append(views, View{s, s.find(sandbox)})
		}
		return views
	}
}
