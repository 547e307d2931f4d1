package observe

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/api"
	"github.com/sandmeter/sandmeter/metricserver"
)

const (
	// settle is longer than a state file has to fail before a server counts it as unreadable.
	settle = 1200 * time.Millisecond
	// searchTime limits the wait for registrations from runsc.
	searchTime = 20 * time.Second
	askPause   = 200 * time.Millisecond
)

// local runs a server without a listener in this process for runtime roots, until it has described
// itself with all registrations that it finds.
func (n *node) local(ctx context.Context, paths []string) {
	o := n.Server
	o.Roots = paths
	var handler *metricserver.Handler
	server, err := metricserver.New(o)
	if err == nil {
		handler, err = server.Handler()
	}
	if err != nil {
		n.incomplete("runtime roots: " + err.Error())
		return
	}
	defer handler.Close()
	began := time.Now()
	for ctx.Err() == nil {
		var s *api.Status
		text, err := handler.Status(ctx)
		if err == nil {
			err = json.Unmarshal(text, &s)
		}
		if err != nil {
			n.incomplete("runtime roots: " + err.Error())
			return
		}
		n.Local = s
		searching := slices.ContainsFunc(n.Local.Registrations.Builds, func(b api.Build) bool { return b.Searching })
		if age := time.Since(began); age > settle && !searching || age > searchTime {
			return
		}
		time.Sleep(askPause)
	}
}
