package metricserver

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/sandmeter/sandmeter/internal/web"
)

// serve serves HTTP until ctx is done, and for as long after that as requests take, up to limits.stop. It ends with an error as soon as one of
// the listeners does.
func (s *Server) serve(ctx context.Context, listeners []net.Listener, handler *web.Handler) error {
	connections := web.NewConnections(s.limits.connections, s.options.Logger)
	servers := make([]*http.Server, len(listeners))
	failed := make(chan error, len(listeners))
	var serving sync.WaitGroup
	for i, l := range listeners {
		servers[i] = s.newHTTPServer(handler, l.Addr(), connections)
		serving.Go(func() { failed <- serveHTTP(l, servers[i], s.options.WebConfigFile, s.options.Logger) })
	}
	defer serving.Wait()
	select {
	case err := <-failed:
		connections.CloseAll()
		forEach(servers, func(server *http.Server) { server.Close() })
		return err
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.Background(), s.limits.stop)
	defer cancel()
	handler.Stop(limit)
	// What is left are the last bytes of responses, and connections that have not asked for anything.
	limit, cancel = context.WithTimeout(limit, lingerTimeout)
	defer cancel()
	// To end TLS, Shutdown sends each client a last message, and waits 5 s for one that does not read.
	defer context.AfterFunc(limit, connections.CloseAll)()
	forEach(servers, func(server *http.Server) {
		if server.Shutdown(limit) != nil {
			server.Close()
		}
	})
	return nil
}

// forEach calls do for all servers at once, and returns when it is done with each.
func forEach(servers []*http.Server, do func(*http.Server)) {
	var all sync.WaitGroup
	for _, server := range servers {
		all.Go(func() { do(server) })
	}
	all.Wait()
}

// newHTTPServer returns the server for one listener: each has a handler of its own, since the Host header counts on loopback addresses only.
func (s *Server) newHTTPServer(handler *web.Handler, addr net.Addr, connections *web.Connections) *http.Server {
	server := &http.Server{
		Handler:           s.limitHosts(handler, addr),
		ReadHeaderTimeout: s.limits.header, // and for the handshake of TLS
		ReadTimeout:       requestTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       s.limits.idle,
		MaxHeaderBytes:    maxHeader,
		ConnState:         connections.Track,
		ErrorLog:          slog.NewLogLogger(s.options.Logger.Handler(), slog.LevelDebug),
		Protocols:         new(http.Protocols),
	}
	// No HTTP/2, also with TLS: it has many requests on one connection, and the limits here are per connection.
	server.Protocols.SetHTTP1(true)
	return server
}

// limitHosts returns the handler for requests that arrive at an address: that of the server or, on a loopback address, one that refuses those
// for other hosts.
func (s *Server) limitHosts(h *web.Handler, addr net.Addr) http.Handler {
	if tcp, ok := addr.(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return h
	}
	allowed := slices.Clone(s.options.AllowedHosts)
	for _, address := range s.options.Addresses {
		if host, _, err := net.SplitHostPort(address); err == nil {
			allowed = append(allowed, host)
		}
	}
	return web.LimitHosts(h, allowed, s.options.Logger)
}
