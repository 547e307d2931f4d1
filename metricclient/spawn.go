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

// Why there is nothing to start or stop.
var (
	// ErrAlreadyRunning means that there is a server already: the one that this client started, or somebody else's at the same address
	// for the same runtime root.
	ErrAlreadyRunning = errors.New("a metric server is already running")

	// ErrNotRunning means that this client has started no server that it has not seen the end of.
	ErrNotRunning = errors.New("this client has started no metric server")
)

const (
	spawnTimeout = 20 * time.Second
	pidPath      = "/runsc-metrics/pid"
	maxPIDBody   = 64

	// A server is there within milliseconds; one that takes longer is asked less often.
	firstPoll   = 2 * time.Millisecond
	slowestPoll = 100 * time.Millisecond
)

// SpawnServer starts a metric server at the client's address and for its runtime root, and returns when it is healthy, as
// [MetricClient.HealthCheck] has it. It waits as long as ctx allows, and at most 20 seconds; the server itself does not depend on ctx.
// To stop the server, call [MetricClient.ShutdownServer].
//
// The server serves only sandboxes that were created with a --metric-server equal to the client's address, [config.RuntimeRoot] in either
// standing for the runtime root. A page without the sandboxes of a root is mostly one of a server at another address than they name. The
// documentation of the package says how to serve all sandboxes of a root.
//
// The program is baseConf.ServerPath; where that is empty, what the environment variable SANDMETER_SERVER names; else sandmeter in the
// directory of the running program, else sandmeter on PATH. A program that was named but is not there is an error. The command line is
// baseConf's flags, with address and root replaced by the client's, the word metric-server, and extraArgs. baseConf may be nil and is not
// changed.
//
// The server is a process in a session of its own, in the directory and with the environment of this program. It has to be the very
// process that was started: a wrapper script must end in exec. Its standard input and output are /dev/null, and it inherits no other
// descriptor that this program opened. Its standard error is a pipe, of which the client keeps the last lines for its errors and discards
// the rest. The server does not end with this program; to live on it must not mind a closed standard error (SIGPIPE).
//
// A server that ends before it is healthy is reported at once, with its exit status and its last lines; one that does not become
// healthy in time is killed, and gone when SpawnServer returns. [ErrAlreadyRunning] is in the error's chain when there is a server
// already for the same root, and what HealthCheck says of the address when something else is there.
func (c *MetricClient) SpawnServer(ctx context.Context, baseConf *config.Config, extraArgs ...string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("start a metric server at %s: %w", c.addr, err)
		}
	}()
	if err := c.beginSpawn(); err != nil {
		return err
	}
	defer c.endSpawn()
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
	c.setServer(server)
	if err := c.awaitHealthy(ctx, server); err != nil {
		server.kill()
		c.forget(server)
		return err
	}
	return nil
}

// ShutdownServer asks the server that [MetricClient.SpawnServer] started to end (SIGTERM) and returns when its process has ended, however it
// ended and whoever reaped it, or when ctx is done. In the latter case the error has the context's in its chain, the server is
// still this client's, and ShutdownServer may be called again. Without a server the error is [ErrNotRunning].
func (c *MetricClient) ShutdownServer(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("shut down the metric server at %s: %w", c.addr, err)
		}
	}()
	server := c.currentServer()
	if server == nil {
		return ErrNotRunning
	}
	if err := server.terminate(ctx); err != nil {
		return err
	}
	c.forget(server)
	return nil
}

// beginSpawn claims the client's place for a server. A server that ended by itself does not hold it.
func (c *MetricClient) beginSpawn() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spawning || c.server != nil && c.server.running() {
		return fmt.Errorf("%w: call ShutdownServer first", ErrAlreadyRunning)
	}
	c.spawning = true
	return nil
}

func (c *MetricClient) endSpawn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spawning = false
}

func (c *MetricClient) setServer(server *process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server = server
}

// forget gives up a server that has ended, unless there is another one by now.
func (c *MetricClient) forget(server *process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server == server {
		c.server = nil
	}
}

func (c *MetricClient) currentServer() *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.server
}

// serverConfig returns the settings of the server to start: the caller's, but for what makes it the server of this client.
func (c *MetricClient) serverConfig(base *config.Config) config.Config {
	var conf config.Config
	if base != nil {
		conf = *base
	}
	conf.RootDir, conf.MetricServer = c.rootDir, c.addr
	return conf
}

// checkFree returns nil when nobody is at the address. Whoever is there would keep a new server from listening, and might be taken
// for it. A server that is shutting down is waited for.
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

// awaitHealthy returns nil when the process answers health checks at the client's address. It gives up when the process has ended, when
// somebody else turns out to be at the address, and when ctx is done.
func (c *MetricClient) awaitHealthy(ctx context.Context, server *process) error {
	spawning := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(server.ended, cancel)() // no health check outlives the process
	var last error
	for pause := firstPoll; ; pause = min(2*pause, slowestPoll) {
		err := c.checkServes(ctx, server)
		if !server.running() {
			return c.endedError(spawning, server) // also if the check went well: then it was somebody else who answered
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

// endedError returns why a server ended before it was healthy, another server's being at the address first of all.
func (c *MetricClient) endedError(ctx context.Context, server *process) error {
	err := server.exitError()
	if other := c.checkFree(ctx); isOtherServer(other) {
		return fmt.Errorf("%w; %w", other, err)
	}
	return err
}

// isOtherServer reports whether the error of checkServes is final: another metric server has the address.
func isOtherServer(err error) bool {
	_, wrongRoot := errors.AsType[*WrongRootError](err)
	return wrongRoot || errors.Is(err, ErrAlreadyRunning)
}

// checkServes returns nil when the process is who answers health checks at the client's address, and an ErrAlreadyRunning when another
// process does.
func (c *MetricClient) checkServes(ctx context.Context, server *process) error {
	if err := c.checkHealth(ctx); err != nil {
		return err
	}
	a, err := c.get(ctx, pidPath, maxPIDBody)
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
