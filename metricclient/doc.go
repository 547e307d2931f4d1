// Package metricclient starts, checks, reads and stops a metric server for gVisor sandboxes.
//
// A [MetricClient] is made for one address and one runtime root. [MetricClient.SpawnServer] starts a server there as a process of its
// own, [MetricClient.HealthCheck] tells whether that server is there, [MetricClient.GetMetrics] reads its metrics, and
// [MetricClient.ShutdownServer] ends it. The server need not be one that this client started: HealthCheck and GetMetrics talk to
// whoever listens. [MetricData], the page that GetMetrics returns, finds single values in it.
//
// # Which sandboxes
//
// A server that SpawnServer starts serves the sandboxes that were created with the client's address as their --metric-server, as gVisor's
// own server does; no argument of the command metric-server changes that. To serve all sandboxes of a runtime root, whatever their
// address, start "sandmeter serve --root ROOT --web.listen-address ADDRESS" or run the package metricserver without a MatchAddress, and
// make a client for that root and address: HealthCheck and GetMetrics work as they do with a spawned server. A sandbox that was created
// without a --metric-server has no metrics to serve.
//
// # TLS and passwords
//
// A server that was given a web configuration file has TLS, passwords or both. [WithTLS], [WithBasicAuth] and [WithRoundTripper] are for
// clients of such a server. A server that SpawnServer starts has neither.
//
// # Counters that are zero
//
// A sandbox does not send counters that are still zero, so a page does not have them. [ErrNoMetric] says how they can be told from
// metrics that do not exist, and the example of [MetricData.Family] does it.
//
// # Errors
//
// What a caller may want to act on can be told apart with [errors.Is] and [errors.As]: [ErrNotListening], [ErrNotMetricServer],
// [ErrShuttingDown], [ErrUnauthorized], [ErrTLS] and [*WrongRootError] say why a server is not the one asked for, [ErrAlreadyRunning] and [ErrNotRunning] that there
// is nothing to start or stop, [ErrNoSample] and [ErrNoMetric] that a page does not have a value or anything of a metric. An operation that took too long has
// [context.DeadlineExceeded] in its error, one that was canceled [context.Canceled].
//
// An error is one line. What a server said is in it with control characters escaped and cut to a sensible length.
package metricclient
