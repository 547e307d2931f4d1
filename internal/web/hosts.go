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

// maxLoggedText is how many bytes of a client's text the log has.
const maxLoggedText = 256

// LimitHosts returns a handler for a server that listens on a loopback address. It passes on requests whose Host header has an IP address,
// localhost, a name below it, or one of the allowed names, and refuses the others: a web page that has its own name resolve to a loopback
// address makes the browser of a user of this machine send them (DNS rebinding), and could read the response. Such a request always has
// the page's name in its Host header. One without the header is not from a browser.
//
// The logger is told, at most once a minute, that a request was refused.
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

// canonicalName returns a name as it is compared with others.
func canonicalName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// isLocal reports whether no DNS server can make a name, or an IP address, one of this machine: browsers look up neither.
func isLocal(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// clientOf returns the address of a client for the log.
func clientOf(r *http.Request) string {
	if r.RemoteAddr == "" || r.RemoteAddr == "@" {
		return "Unix socket"
	}
	return r.RemoteAddr
}

// shorten returns the beginning of a text of a client, for the log.
func shorten(text string) string { return text[:min(len(text), maxLoggedText)] }
