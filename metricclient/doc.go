// Package metricclient starts, checks, reads and stops a metric server for gVisor sandboxes.
//
// A [MetricClient] is made for one address and one runtime root. [MetricClient.SpawnServer] starts a server there as a process of its
// own, [MetricClient.HealthCheck] tells whether that server is there, [MetricClient.GetMetrics] reads its metrics, and
// [MetricClient.ShutdownServer] ends it. The server need not be one that this client started: HealthCheck and GetMetrics talk to
// whoever listens. [MetricData], the page that GetMetrics returns, finds single values in it.
//
// # Errors
//
// What a caller may want to act on can be told apart with [errors.Is] and [errors.As]: [ErrNotListening], [ErrNotMetricServer],
// [ErrShuttingDown] and [*WrongRootError] say why a server is not the one asked for, [ErrAlreadyRunning] and [ErrNotRunning] that there
// is nothing to start or stop, [ErrNoSample] that a page does not have the metric. An operation that took too long has
// [context.DeadlineExceeded] in its error, one that was canceled [context.Canceled].
//
// An error is one line. What a server said is in it with control characters escaped and cut to a sensible length.
package metricclient
