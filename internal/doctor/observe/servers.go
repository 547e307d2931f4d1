package observe

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/doctor"
	"github.com/sandmeter/sandmeter/metricclient"
)

// addressServers decides where each server listens. The address of the options is that of a server
// whose process listens there, or else of one more. If the user gave it, other servers do not
// count.
func (n *node) addressServers() {
	servers := &n.observed.Servers
	known := false
	for i := range *servers {
		s := &(*servers)[i]
		s.Address = addressOf(&s.Settings, n.Address)
		if sameAddress(s.Address, n.Address) {
			s.Address, s.Given, known = n.Address, n.Given, true
		}
	}
	if !known {
		*servers = append(*servers, doctor.Server{Address: n.Address, Given: n.Given})
	}
	if n.Given {
		n.observed.UntrustedServers = nil
		*servers = slices.DeleteFunc(*servers, func(s doctor.Server) bool { return !s.Given })
	}
}

// askServers asks all servers at the same time what they serve. It is called after the sandboxes
// were queried: a server may not know a sandbox that began later.
func (n *node) askServers(ctx context.Context) {
	n.addressServers()
	var asked sync.WaitGroup
	for i := range n.observed.Servers {
		asked.Go(func() { n.ask(ctx, &n.observed.Servers[i]) })
	}
	asked.Wait()
	if slices.ContainsFunc(n.observed.Servers, func(s doctor.Server) bool { return s.Unasked }) {
		n.incomplete("servers: no time was left to query them")
	}
	n.dropUntrusted()
}

// dropUntrusted lists as untrusted the servers at addresses of other users whose processes are not
// known: nothing is left to know about them.
func (n *node) dropUntrusted() {
	isForeign := func(s doctor.Server) bool { return s.Untrusted != "" && s.PID == 0 }
	for _, s := range n.observed.Servers {
		if isForeign(s) {
			n.untrusted(doctor.UntrustedServer{Address: s.Address, Why: s.Untrusted})
		}
	}
	n.observed.Servers = slices.DeleteFunc(n.observed.Servers, isForeign)
}

// addressOf returns an address of a server. One on a socket of systemd has no address of its own.
func addressOf(s *doctor.Settings, fallback string) string {
	if len(s.Addresses) == 0 {
		return fallback
	}
	root := config.DefaultRootDir()
	if len(s.Roots) > 0 {
		root = s.Roots[0]
	}
	return config.ExpandAddress(s.Addresses[0], root)
}

// sameAddress reports whether two addresses are of the same server here.
func sameAddress(a, b string) bool {
	local := func(address string) string {
		if filepath.IsAbs(address) {
			return filepath.Clean(address)
		}
		for _, host := range []string{"localhost:", "127.0.0.1:", "0.0.0.0:", "[::]:", "[::1]:"} {
			address = strings.Replace(address, host, ":", 1)
		}
		return address
	}
	return local(a) == local(b)
}

// ask asks a server what it serves.
func (n *node) ask(ctx context.Context, s *doctor.Server) {
	address, unsafe := s.Address, error(nil)
	if !s.Given {
		address, unsafe = n.trustedAddress(address)
	}
	if unsafe != nil && !errors.Is(unsafe, errNoListener) {
		s.Untrusted, s.Err = unsafe.Error(), unsafe.Error()
		return
	}
	client, err := n.Connect(address)
	if err == nil {
		defer client.Close()
		s.Sandboxes, s.AsOf, err = served(ctx, client)
		slices.SortStableFunc(s.Sandboxes, func(a, b doctor.Served) int { return strings.Compare(a.ID, b.ID) })
	}
	switch {
	case err == nil && unsafe != nil:
		s.Untrusted, s.Err, s.Sandboxes = unsafe.Error(), unsafe.Error(), nil
		return
	case err == nil:
		return
	case ctx.Err() != nil: // the error is not about the server
		s.Unasked, s.Err = true, "it was not queried in time"
		return
	}
	s.Err = err.Error()
	if s.PID != 0 {
		kind := "net"
		if strings.HasPrefix(s.Address, "/") {
			kind = "mnt"
		}
		own, its := n.namespace(os.Getpid(), kind), n.namespace(s.PID, kind)
		s.Elsewhere = own != 0 && its != 0 && own != its
	}
	s.Missing = errors.Is(err, metricclient.ErrNotListening)
	s.Denied = errors.Is(err, fs.ErrPermission)
	s.Refused = errors.Is(err, metricclient.ErrUnauthorized) || errors.Is(err, metricclient.ErrTLS)
}

// served returns the sandboxes that a server serves, and as of when: from its JSON API or, if it has
// none, from its page.
func served(ctx context.Context, client *metricclient.MetricClient) (sandboxes []doctor.Served, asOf time.Time, err error) {
	text, err := client.GetSandboxes(ctx)
	if errors.Is(err, metricclient.ErrNoAPI) {
		page, err := client.GetMetrics(ctx, nil)
		if err != nil {
			return nil, asOf, err
		}
		sandboxes, err = onPage(page)
		return sandboxes, asOf, err
	}
	if err != nil {
		return nil, asOf, err
	}
	var document struct {
		Time      time.Time `json:"snapshot_time"`
		Sandboxes *[]struct {
			ID        string  `json:"id"`
			Iteration string  `json:"iteration"`
			Root      string  `json:"runtime_root"`
			Status    string  `json:"query_status"`
			Reason    *string `json:"reason"`
			Hidden    *string `json:"hidden"`
		} `json:"sandboxes"`
	}
	if err := json.Unmarshal(text, &document); err != nil || document.Sandboxes == nil {
		return nil, asOf, errors.New("it sent something other than a list of sandboxes, so it is no metric server")
	}
	for _, s := range *document.Sandboxes {
		sandboxes = append(sandboxes, doctor.Served{ID: s.ID, Iteration: s.Iteration, Root: s.Root, Status: s.Status,
			Reason: textOf(s.Reason), Hidden: textOf(s.Hidden)})
	}
	return sandboxes, document.Time, nil
}

func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// The families that every metric server has, after its prefix.
const (
	runningFamily = "meta_sandbox_running"
	failureFamily = "meta_sandbox_failure"
)

// onPage returns the sandboxes on a page of metrics. It has the reasons of Sandmeter, and not of
// gVisor's own server, which has none.
func onPage(page metricclient.MetricData) ([]doctor.Served, error) {
	var sandboxes []doctor.Served
	reasons := make(map[string]string)
	for sample, err := range page.Samples() {
		if err != nil {
			return nil, err
		}
		id, status := sample.Labels["sandbox"], doctor.StatusOK
		switch {
		case strings.HasSuffix(sample.Name, failureFamily) || sample.Name == "sandmeter_sandbox_failure":
			reasons[id] = sample.Labels["reason"]
		case strings.HasSuffix(sample.Name, runningFamily) || sample.Name == "sandmeter_sandbox_running":
			if sample.Value == 0 {
				status = doctor.StatusNotRunning
			}
			sandboxes = append(sandboxes, doctor.Served{ID: id, Iteration: sample.Labels["iteration"], Root: sample.Labels["runtime_root"], Status: status})
		}
	}
	for i := range sandboxes {
		if reason := reasons[sandboxes[i].ID]; reason != "" {
			sandboxes[i].Status, sandboxes[i].Reason = doctor.StatusFailed, reason
		}
	}
	return sandboxes, nil
}
