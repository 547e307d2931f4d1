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

// serve serves HTTP until ctx is done. Then it closes the listeners, and waits up to limits.stop for
// requests on connections that it has accepted. It returns an error as soon as one of the listeners
// fails.
func (s *Server) serve(ctx context.Context, listeners []net.Listener, h *Handler) error {
	connections := web.NewConnections(s.limits.connections, &h.counters, s.options.Logger)
	servers := make([]*http.Server, len(listeners))
	failed := make(chan error, len(listeners))
	var serving sync.WaitGroup
	for i, l := range listeners {
		servers[i] = s.newHTTPServer(h.web, l.Addr(), connections)
		serving.Go(func() { failed <- serveHTTP(l, servers[i], s.options.WebConfigFile, s.options.Logger) })
	}
	defer serving.Wait()
	defer func() {
		connections.CloseAll()
		forEach(servers, func(server *http.Server) { server.Close() })
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.Background(), s.limits.stop)
	defer cancel()
	s.drain(limit, listeners, servers, &serving, connections, h.web)
	return nil
}

// drain closes the listeners, and serves the requests of connections that were accepted before, until the
// limit. Connections that nobody has accepted wait for the next server, if systemd owns the socket.
//
// It does without http.Server.Shutdown, which drops a request that arrives on an accepted connection.
func (s *Server) drain(limit context.Context, listeners []net.Listener, servers []*http.Server, serving *sync.WaitGroup, connections *web.Connections, handler *web.Handler) {
	handler.EndWaits()
	closeAll(listeners)
	serving.Wait() // after this, all accepted connections are known
	drained := connections.Drained()
	linger := func() {
		ctx, cancel := context.WithTimeout(limit, s.limits.linger)
		defer cancel()
		// This also ends the closing of a TLS connection, which waits for the client.
		defer context.AfterFunc(ctx, connections.CloseIdle)()
		forEach(servers, func(server *http.Server) { server.SetKeepAlivesEnabled(false) }) // closes idle ones
		select {
		case <-drained:
		case <-ctx.Done():
		}
	}
	linger() // for requests
	handler.Stop(limit)
	linger() // for the last bytes of responses
}

// forEach calls do for all servers concurrently, and returns when all calls have returned.
func forEach(servers []*http.Server, do func(*http.Server)) {
	var all sync.WaitGroup
	for _, server := range servers {
		all.Go(func() { do(server) })
	}
	all.Wait()
}

// newHTTPServer returns the server for one listener. Each listener has its own handler because the
// Host header is checked on loopback addresses only.
func (s *Server) newHTTPServer(handler *web.Handler, addr net.Addr, connections *web.Connections) *http.Server {
	server := &http.Server{
		Handler:           s.limitHosts(handler, addr),
		ReadHeaderTimeout: s.limits.header, // also limits the TLS handshake
		ReadTimeout:       requestTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       s.limits.idle,
		MaxHeaderBytes:    maxHeader,
		ConnState:         connections.Track,
		ErrorLog:          slog.NewLogLogger(s.options.Logger.Handler(), slog.LevelDebug),
		Protocols:         new(http.Protocols),
	}
	// Disable HTTP/2, also with TLS: HTTP/2 sends many requests on one connection, and the limits
	// here are per connection.
	server.Protocols.SetHTTP1(true)
	return server
}

// limitHosts returns the handler for requests that arrive at an address. On a loopback address, it
// rejects requests for other hosts.
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
