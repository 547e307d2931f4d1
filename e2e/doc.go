// Package e2e tests the sandmeter program and its client with real sandboxes of a real runsc, and
// with simulated ones where tests need many or hostile sandboxes. It also runs the programs that
// scrape the server elsewhere, Prometheus and VictoriaMetrics.
//
// It is a separate module, so that dependencies of tests are no dependencies of Sandmeter.
package e2e
