// Package metricclient starts, checks, reads and stops a metric server for gVisor sandboxes, and
// registers and unregisters sandboxes with it.
//
// A [MetricClient] is for one address and one runtime root. [MetricClient.SpawnServer] starts a
// server there in a separate process, [MetricClient.HealthCheck] checks that the server is there,
// [MetricClient.GetMetrics] reads its metrics, and [MetricClient.ShutdownServer] stops it.
// HealthCheck and GetMetrics also work with a server that this client did not start. GetMetrics
// returns a [MetricData], which has methods to look up single values.
//
// # For platforms that start and destroy sandboxes
//
// [MetricClient.RegisterSandbox] waits for a sandbox and has it sampled at once, and
// [MetricClient.UnregisterSandbox] has a last sample taken and hides the sandbox, just before it is
// destroyed. Together they give even a sandbox that lives for less than a scrape interval its first
// and its last values. Both take exact IDs, and add nothing to the server that is not in its runtime
// root. A restart of the server forgets unregistrations.
//
// # Which sandboxes
//
// A server started by SpawnServer serves the sandboxes created with the client's address as their
// --metric-server, like gVisor's own server. No argument of the metric-server command changes that.
// To serve all sandboxes of a runtime root, regardless of their address, run "sandmeter serve
// --root ROOT --web.listen-address ADDRESS" or use the package metricserver without a MatchAddress,
// and create a client for that root and address. HealthCheck and GetMetrics then work as with a
// spawned server. A sandbox created without --metric-server has no metrics.
//
// # TLS and passwords
//
// A server with a web configuration file has TLS, passwords or both. Clients of such a
// server are created with [NewMetricClientWithOptions] and the options [WithTLS], [WithBasicAuth] and
// [WithRoundTripper]. A server started by SpawnServer has neither.
//
// # Counters that are zero
//
// A sandbox does not send counters that are still zero, so they are not on the page. [ErrNoMetric]
// describes how to distinguish them from metrics that do not exist; see the example of
// [MetricData.Family].
//
// # Errors
//
// Use [errors.Is] and [errors.As] to distinguish errors. [ErrNotListening], [ErrNotMetricServer],
// [ErrShuttingDown], [ErrUnauthorized], [ErrTLS] and [*WrongRootError] mean that the expected
// server is not available. [ErrAlreadyRunning] and [ErrNotRunning] mean that there is nothing to
// start or stop. [ErrNoSandbox], [*RefusedError] and [ErrNoRegistering] mean that a sandbox is not
// registered or unregistered. [ErrNoSample] means that a value is not on the page, and [ErrNoMetric] that the
// page has no data about a metric. An operation that times out returns an error that wraps
// [context.DeadlineExceeded]; a canceled operation wraps [context.Canceled].
//
// An error text is one line. Text from a server is truncated, and its control characters are
// escaped.
package metricclient
