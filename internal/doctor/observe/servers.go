package observe

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"sync"

	"github.com/sandmeter/sandmeter/internal/doctor"
	"github.com/sandmeter/sandmeter/metricclient"
)

// servers asks the servers that were found, or the one at the address that the user gave, all at the
// same time.
func (n *node) servers(ctx context.Context) {
	n.addressServers()
	var asked sync.WaitGroup
	for i := range n.Servers {
		if s := &n.Servers[i]; s.State == "" {
			asked.Go(func() { n.ask(ctx, s) })
		}
	}
	asked.Wait()
}

// addressServers lists the servers with their addresses: those that were found by their sockets or, if
// there are none, the one at the usual address, whose process may not be visible to this user.
func (n *node) addressServers() {
	if n.Given {
		n.Servers = append(n.Servers, doctor.Server{Address: n.Address, Given: true})
		return
	}
	for i := range n.found {
		s := doctor.Server{PID: n.found[i].pid}
		address, err := n.reach(&n.found[i])
		if s.Address = address; err != nil {
			s.State, s.Error = doctor.NoAccess, err.Error()
		}
		n.Servers = append(n.Servers, s)
	}
	switch err := n.check(n.Address); {
	case len(n.found) > 0 || err == errNoListener:
	case err == nil:
		n.Servers = append(n.Servers, doctor.Server{Address: n.Address})
	default:
		n.ignore("the usual address " + n.Address + ": " + err.Error())
	}
}

// ask asks a server for its status.
func (n *node) ask(ctx context.Context, s *doctor.Server) {
	client := n.Connect(s.Address)
	defer client.Close()
	text, err := client.GetStatus(ctx)
	if err == nil {
		err = json.Unmarshal(text, &s.Status)
		if err == nil && (s.Status == nil || s.Status.Settings.Resolved == nil) {
			s.Status, err = nil, metricclient.ErrNotMetricServer
		}
	}
	if err == nil {
		s.State = doctor.Answered
		if s.PID == 0 && n.Sees(s) {
			s.PID = s.Status.Process.PID
		}
		return
	}
	s.Error, s.State = err.Error(), stateOf(err)
}

func stateOf(err error) doctor.State {
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case is(metricclient.ErrNoAPI):
		return doctor.NoStatus
	case is(metricclient.ErrUnauthorized), is(metricclient.ErrTLS), is(fs.ErrPermission):
		return doctor.NoAccess
	}
	return doctor.Unreachable
}
