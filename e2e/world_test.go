package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/runsc"
	"github.com/sandmeter/sandmeter/internal/runsc/runsctest"
	"github.com/sandmeter/sandmeter/internal/testkit"
	"github.com/sandmeter/sandmeter/metricclient"
)

// ample is longer than any step takes that does not wait on purpose, even on a busy machine.
const ample = time.Minute

// A world is a runtime root with real or simulated sandboxes, and the address and client of its
// metric server.
type world struct {
	t      *testing.T
	root   string
	node   *runsc.Node // of real sandboxes; nil if there are none
	addr   string
	client *metricclient.MetricClient
}

// newWorld returns a world for real sandboxes, without sandboxes and without a server. Its contents
// end with the test.
func newWorld(t *testing.T) *world {
	t.Helper()
	conf := runsc.Config{Runsc: realRunsc(t), Program: sandlab}
	return newWorldWith(t, conf)
}

func newWorldWith(t *testing.T, conf runsc.Config) *world {
	t.Helper()
	node := runsctest.NewNode(t, conf)
	w := &world{t: t, root: node.Root(), node: node}
	w.setAddr(filepath.Join(w.node.Dir(), "metrics.sock"))
	return w
}

// realRunsc returns the path of a runsc that works here, or skips the test.
func realRunsc(t *testing.T) string {
	t.Helper()
	return runsctest.Program(t, sandlab, "workload", "exit")
}

// setAddr changes the address of sandboxes and servers that start later.
func (w *world) setAddr(addr string) {
	w.addr = addr
	w.client = metricclient.NewMetricClient(addr, w.root)
	w.t.Cleanup(w.client.Close)
}

// ctx returns a context for one step of the test.
func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(w.t.Context(), ample)
	w.t.Cleanup(cancel)
	return ctx
}

// must ends the test if a step failed.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// container returns a container with metrics that runs a workload.
func (w *world) container(id string, workload ...string) runsc.Container {
	return runsc.Container{ID: id, Args: append([]string{"workload"}, workload...), MetricServer: w.addr}
}

// start starts a container with metrics that runs a workload.
func (w *world) start(id string, workload ...string) {
	w.t.Helper()
	w.must(w.node.Run(w.ctx(), w.container(id, workload...)))
}

// remove deletes containers.
func (w *world) remove(ids ...string) {
	w.t.Helper()
	for _, id := range ids {
		w.must(w.node.Delete(w.ctx(), id))
	}
}

// serve starts a metric server that ends with the test, or earlier with stop.
func (w *world) serve(extraArgs ...string) {
	w.t.Helper()
	w.must(w.client.SpawnServer(w.ctx(), &config.Config{ServerPath: sandmeter}, extraArgs...))
	client := w.client
	w.t.Cleanup(func() {
		// The context of the test has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), ample)
		defer cancel()
		if err := client.ShutdownServer(ctx); err != nil && !errors.Is(err, metricclient.ErrNotRunning) {
			w.t.Error(err)
		}
	})
}

// stop ends the metric server.
func (w *world) stop() {
	w.t.Helper()
	w.must(w.client.ShutdownServer(w.ctx()))
}

// serveArgs returns the command line of serve for the world's root and address.
func (w *world) serveArgs(flags ...string) []string {
	return serveArgs(w.root, w.addr, flags...)
}

// onlyServe matches the families about the server's process that metric-server does not have.
const onlyServe = "go_.*|process_[^s].*"

// serveArgs returns the command line of serve. Its page has the names and lines of metric-server,
// so that tests of both read the same page.
func serveArgs(root, addr string, flags ...string) []string {
	return append([]string{"serve", "--root", root, "--web.listen-address", addr,
		"--metric-naming", "runsc", "--zero-counters", "off", "--metric-deny", onlyServe}, flags...)
}

// metricServerArgs returns the command line of metric-server for the world's root and address.
func (w *world) metricServerArgs(flags ...string) []string {
	return append([]string{"--root=" + w.root, "--metric-server=" + w.addr, "metric-server"}, flags...)
}

// startServer starts the program with a server command line, and returns when it is healthy. It
// ends with the test at the latest.
func (w *world) startServer(args []string) *server {
	w.t.Helper()
	return w.startProgram(newProgram(w.t, args...))
}

// startProgram is startServer for a prepared program.
func (w *world) startProgram(p *program) *server {
	w.t.Helper()
	s := startProgram(w.t, p)
	w.until(func() error {
		if s.hasEnded() {
			w.t.Fatalf("%q has ended and said:\n%s", s.Args, &s.err)
		}
		return w.client.HealthCheck(w.ctx())
	})
	return s
}

// scrape returns the server's page; params alternate between names and values of request
// parameters.
func (w *world) scrape(params ...string) page {
	w.t.Helper()
	urlParams := map[string]string{}
	for i := 0; i < len(params); i += 2 {
		urlParams[params[i]] = params[i+1]
	}
	data, err := w.client.GetMetrics(w.ctx(), urlParams)
	w.must(err)
	return parsePage(w.t, data)
}

// until repeats a check until it holds.
func (w *world) until(check func() error) {
	w.t.Helper()
	testkit.Retry(w.t, check)
}

// errNot is the error of a check that does not hold yet.
func errNot(what string) error { return fmt.Errorf("not so: %s", what) }

// untilValue scrapes until a series has a value.
func (w *world) untilValue(want float64, metric string, labels ...string) {
	w.t.Helper()
	w.until(func() error {
		if got, ok := w.scrape().value(metric, labels...); !ok || got != want {
			return fmt.Errorf("%s%q is %v (present: %t), not %v", metric, labels, got, ok, want)
		}
		return nil
	})
}

// untilBegun waits until the workloads of a number of sandboxes have begun: each begins with a
// visible system call, see the command workload. Before that, counters that are zero are not on the
// page.
func (w *world) untilBegun(sandboxes int) {
	w.t.Helper()
	w.until(func() error {
		if begun := len(w.scrape().find("runsc_unimplemented_syscalls")); begun != sandboxes {
			return fmt.Errorf("%d of %d workloads have begun", begun, sandboxes)
		}
		return nil
	})
}
