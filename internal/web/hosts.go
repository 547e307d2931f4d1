package web

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/time/rate"
)

// maxLoggedText is the maximum length, in bytes, of client text in a log line.
const maxLoggedText = 256

// LimitHosts returns a handler for a server that listens on a loopback address. It accepts requests
// whose Host header is an IP address, localhost, a name below localhost, or one of the allowed
// names, and refuses all others. This prevents DNS rebinding: a web page whose own name resolves to
// a loopback address makes a local user's browser send requests to this server, and could read the
// responses. Such a request always has the page's name in its Host header. A request without a Host
// header does not come from a browser and is accepted.
//
// LimitHosts logs refused requests at most once per minute.
func LimitHosts(next http.Handler, allowed []string, logger *slog.Logger) http.Handler {
	names := make([]string, len(allowed))
	for i, name := range allowed {
		names[i] = canonicalName(name)
	}
	lines := rate.Sometimes{Interval: logInterval}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := hostName(r.Host)
		if r.Host == "" || isLocal(host) || slices.Contains(names, host) {
			next.ServeHTTP(w, r)
			return
		}
		lines.Do(func() {
			logger.Warn("Request refused: its Host header has a name that is not allowed on a loopback address; "+
				"if the name is the server's, add it with --web.allowed-hosts", "host", shorten(host), "client", clientOf(r))
		})
		http.Error(w, "the server listens on a loopback address and does not accept requests for this host name: "+
			"use localhost or an IP address, or add the name to the server's allowed hosts (--web.allowed-hosts)", http.StatusForbidden)
	})
}

// hostName returns the canonical name or the IP address in a Host header.
func hostName(header string) string {
	if host, _, err := net.SplitHostPort(header); err == nil {
		header = host
	}
	return canonicalName(strings.TrimSuffix(strings.TrimPrefix(header, "["), "]"))
}

// canonicalName returns the form of a name that is used for comparisons.
func canonicalName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// isLocal reports whether host is an IP address, localhost, or a name below localhost. Browsers do
// not look these up, so no DNS server can make them point to this machine.
func isLocal(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// clientOf returns a client's address for the log.
func clientOf(r *http.Request) string {
	if r.RemoteAddr == "" || r.RemoteAddr == "@" {
		return "Unix socket"
	}
	return r.RemoteAddr
}

// shorten returns the beginning of a client's text, for the log.
func shorten(text string) string { return text[:min(len(text), maxLoggedText)] }
