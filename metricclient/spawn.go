package metricclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/config"
)

// Errors for when there is nothing to start or stop.
var (
	// ErrAlreadyRunning means that a server already exists: the one started by this client, or
	// another one at the same address for the same runtime root.
	ErrAlreadyRunning = errors.New("a metric server is already running")

	// ErrNotRunning means that this client has no server: it did not start one, or it already knows
	// that the server has ended.
	ErrNotRunning = errors.New("this client has started no metric server")
)

const (
	spawnTimeout = 20 * time.Second
	pidPath      = "/runsc-metrics/pid"
	maxPIDBody   = 64

	// A server usually starts within milliseconds. The polling interval grows for slower ones.
	firstPoll   = 2 * time.Millisecond
	slowestPoll = 100 * time.Millisecond
)

// SpawnServer starts a metric server at the client's address for its runtime root, and returns once
// [MetricClient.HealthCheck] succeeds. It times out after 20 seconds, or when ctx is done if that
// is earlier. After SpawnServer has returned nil, ctx does not affect the server. To stop the
// server, call [MetricClient.ShutdownServer].
//
// The server serves only sandboxes created with a --metric-server equal to the client's address,
// where [config.RuntimeRoot] in either stands for the runtime root. If sandboxes are missing from
// the page, they were most likely created with another address. The package documentation explains
// how to serve all sandboxes of a root.
//
// The program is baseConf.ServerPath; if that is empty, the value of the environment variable
// SANDMETER_SERVER; or else sandmeter in the directory of the running program; or else sandmeter in
// PATH. If ServerPath or SANDMETER_SERVER is set and the program does not exist, that is an error.
// The command line consists of the flags of baseConf, with address and root replaced by the
// client's, the word metric-server, and extraArgs. baseConf may be nil and is not changed.
//
// The server is a process in its own session, with the working directory and the environment of
// this program, and with SANDMETER_WEB_ENABLE_REGISTRATION=true unless the environment has this
// variable, so that clients can register sandboxes. It must be the started process itself: a wrapper script must end in exec. Its
// standard input and output are /dev/null, and it inherits no other file descriptors opened by this
// program. Its standard error is a pipe. The client keeps the last lines for its errors and
// discards the rest. The server does not end with this program; to keep running, it must tolerate a
// closed standard error (SIGPIPE).
//
// If the server ends before it is healthy, SpawnServer returns at once, with the exit status and
// the last lines of standard error. If the server is not healthy in time, SpawnServer kills it and
// returns after it has ended. The error wraps [ErrAlreadyRunning] if a server for the same root is
// already at the address, or the error of HealthCheck if something else is there.
func (c *MetricClient) SpawnServer(ctx context.Context, baseConf *config.Config, extraArgs ...string) (err error) {
	defer wrap(&err, "start a metric server at %s", c.addr)
	errRunning := fmt.Errorf("%w: call ShutdownServer first", ErrAlreadyRunning)
	if !c.spawning.TryLock() {
		return errRunning
	}
	defer c.spawning.Unlock()
	if server := c.server.Load(); server != nil && server.running() { // one that ended by itself does not count
		return errRunning
	}
	ctx, cancel := context.WithTimeout(ctx, spawnTimeout)
	defer cancel()
	if err := c.checkFree(ctx); err != nil {
		return err
	}
	conf := c.serverConfig(baseConf)
	program, err := findServer(conf.ServerPath)
	if err != nil {
		return err
	}
	server, err := startProcess(program, slices.Concat(conf.ToFlags(), []string{config.MetricServerCommand}, extraArgs))
	if err != nil {
		return err
	}
	c.server.Store(server)
	if err := c.awaitHealthy(ctx, server); err != nil {
		server.kill()
		c.server.CompareAndSwap(server, nil)
		return err
	}
	return nil
}

// ShutdownServer sends SIGTERM to the server started by [MetricClient.SpawnServer]. It returns when
// the process has ended, regardless of its exit status and of which process reaped it, or when ctx
// is done. If ctx is done first, the error wraps the error of ctx, the client keeps the server, and
// ShutdownServer may be called again. Without a server, the error is [ErrNotRunning].
func (c *MetricClient) ShutdownServer(ctx context.Context) (err error) {
	defer wrap(&err, "shut down the metric server at %s", c.addr)
	server := c.server.Load()
	if server == nil {
		return ErrNotRunning
	}
	if err := server.terminate(ctx); err != nil {
		return err
	}
	c.server.CompareAndSwap(server, nil) // unless the client has another one by now
	return nil
}

// serverConfig returns the caller's settings with the root and the address of the client.
func (c *MetricClient) serverConfig(base *config.Config) config.Config {
	var conf config.Config
	if base != nil {
		conf = *base
	}
	conf.RootDir, conf.MetricServer = c.rootDir, c.addr
	return conf
}

// checkFree returns nil if nothing is at the address. Anything there would keep a new server from
// listening and could be mistaken for it. checkFree waits for a server that is shutting down.
func (c *MetricClient) checkFree(ctx context.Context) error {
	err := c.checkHealth(ctx)
	for errors.Is(err, ErrShuttingDown) {
		select {
		case <-time.After(slowestPoll):
		case <-ctx.Done():
			return fmt.Errorf("the address is not free: %w: %w", err, ctx.Err())
		}
		err = c.checkHealth(ctx)
	}
	switch {
	case err == nil:
		return fmt.Errorf("%w there, and this client did not start it", ErrAlreadyRunning)
	case errors.Is(err, ErrNotListening):
		return nil
	case errors.Is(err, ErrNotMetricServer), isOtherServer(err):
		return fmt.Errorf("the address is not free: %w", err)
	default:
		return err
	}
}

// awaitHealthy returns nil once the process responds to health checks at the client's address. It
// fails when the process has ended, when another server is at the address, or when ctx is done.
func (c *MetricClient) awaitHealthy(ctx context.Context, server *process) error {
	spawning := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(server.ended, cancel)() // no health check outlives the process
	var last error
	for pause := firstPoll; ; pause = min(2*pause, slowestPoll) {
		err := c.checkServes(ctx, server)
		if !server.running() {
			return c.endedError(spawning, server) // even if the check succeeded: then another server responded
		}
		if err == nil || isOtherServer(err) {
			return err
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			if !server.running() {
				return c.endedError(spawning, server)
			}
			return server.unhealthyError(ctx.Err(), last)
		}
	}
}

// endedError returns why a server ended before it was healthy. If another server is at the address,
// that comes first.
func (c *MetricClient) endedError(ctx context.Context, server *process) error {
	err := server.exitError()
	if other := c.checkFree(ctx); isOtherServer(other) {
		return fmt.Errorf("%w; %w", other, err)
	}
	return err
}

// isOtherServer reports whether an error of checkServes is final: another metric server has the
// address.
func isOtherServer(err error) bool {
	_, wrongRoot := errors.AsType[*WrongRootError](err)
	return wrongRoot || errors.Is(err, ErrAlreadyRunning)
}

// checkServes returns nil if the process responds to health checks at the client's address. The
// error wraps ErrAlreadyRunning if another process does.
func (c *MetricClient) checkServes(ctx context.Context, server *process) error {
	if err := c.checkHealth(ctx); err != nil {
		return err
	}
	a, err := c.get(ctx, c.serverURL(pidPath), maxPIDBody)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(a.body))
	if a.status != http.StatusOK || err != nil {
		return fmt.Errorf("%s: %w", pidPath, a.statusError())
	}
	if pid != server.pid() {
		return fmt.Errorf("%w there: process %d answers, not process %d that was started (a wrapper script must end in exec)",
			ErrAlreadyRunning, pid, server.pid())
	}
	return nil
}
