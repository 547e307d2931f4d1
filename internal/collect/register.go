package collect

import (
	"context"
	"errors"
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/registration"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

const (
	// clientSample is how long the sample of a sandbox that a client registers or unregisters takes
	// at most.
	clientSample = 100 * time.Millisecond
	// recheck is how often the state file of a sandbox is looked for without an event.
	recheck = 250 * time.Millisecond
)

// Register waits for the state file of a sandbox until ctx ends, samples the sandbox at once, and
// returns it. The sample takes 100 ms at most; Sampled tells whether the sandbox has one. The ID is
// whole, and the root one of Roots. Register does not wait for a collection, and delays none.
//
// The error is snapshot.ErrNoRoot or snapshot.ErrNoSandbox, or a *failure.Failure that says why the
// sandbox is refused.
func (c *Collector) Register(ctx context.Context, root, id string) (snapshot.Registered, error) {
	l, err := c.await(ctx, root, id)
	if err != nil {
		return snapshot.Registered{}, err
	}
	f := c.sample(ctx, l, c.clients, clientSample)
	c.mu.Lock()
	defer c.mu.Unlock()
	if f != nil && !late(f.Reason) {
		return snapshot.Registered{}, f
	}
	return c.registered(l), nil
}

// late reports whether a sandbox that failed for a reason may reply to a later query.
func late(r failure.Reason) bool {
	switch r {
	case failure.Stalled, failure.OutOfTime, failure.Unreachable, failure.Closed, failure.ReplyBudget:
		return true
	}
	return false
}

// await returns a sandbox that runs, as soon as there is one.
func (c *Collector) await(ctx context.Context, root, id string) (*life, error) {
	if !c.Listed() { // what is there now may be older than the server
		if err := c.Look(); err != nil {
			return nil, err
		}
	}
	for {
		l, arrived, err := c.find(root, id)
		if !errors.Is(err, snapshot.ErrNoSandbox) && !errors.Is(err, registration.ErrSearching) {
			return l, err
		}
		again, stop := c.clock.Timer(recheck)
		select {
		case <-ctx.Done():
			stop()
			return nil, err
		case <-arrived:
		case <-again:
		}
		stop()
	}
}

// find returns the sandbox with the ID if it can be sampled, and a channel that is closed when there is a new
// one.
func (c *Collector) find(root, id string) (l *life, arrived chan struct{}, err error) {
	c.mu.Lock()
	arrived = c.arrived
	c.mu.Unlock()
	unanswered := c.table.look(root, id, "", false, func(inv *inventory, found *life, _ error) {
		l = inv.lastOf(found, id)
		err = registrable(l)
	})
	if unanswered != nil {
		return nil, arrived, refusal(unanswered)
	}
	return l, arrived, err
}

// registrable returns why a sandbox, which may be nil, cannot be registered now. The caller holds mu.
func registrable(l *life) error {
	switch {
	case l == nil, l.now() == created, !l.now().lives():
		return snapshot.ErrNoSandbox
	case l.now() == unregistered:
		return failure.Newf(failure.Unregistered, "the sandbox has been unregistered")
	}
	if f := l.flaw(); f != nil && f != l.unproven { // it may not listen yet
		return f
	}
	return nil
}

// refusal returns the error for a client if a runtime root is not served or does not answer.
func refusal(err error) error {
	if errors.Is(err, errHung) {
		return failure.New(failure.RootHung, err)
	}
	return err
}

// registered returns the sandbox as a client gets it. The caller holds mu.
func (c *Collector) registered(l *life) snapshot.Registered {
	view := l.view(nil)
	if l.sampled() {
		view.Replied, view.Reported = l.baseline.When, l.reported()
	}
	return snapshot.Registered{Sandbox: view, Sampled: l.sampled()}
}

// Unregister takes a last sample of a sandbox, counts it in the totals, has it recorded, and hides
// it from pages until the ID is used again. It is for clients that are about to destroy the sandbox.
// The sample takes 100 ms at most. A sandbox that has ended, or was unregistered before, is hidden
// only. Unregister does not wait for a collection, and delays none. The error is snapshot.ErrNoRoot or
// snapshot.ErrNoSandbox.
func (c *Collector) Unregister(ctx context.Context, root, id string) (snapshot.Registered, error) {
	var l *life
	err := c.table.look(root, id, "", false, func(inv *inventory, found *life, _ error) { l = inv.lastOf(found, id) })
	switch {
	case err != nil:
		return snapshot.Registered{}, refusal(err)
	case l == nil:
		return snapshot.Registered{}, snapshot.ErrNoSandbox
	}
	f := c.sample(ctx, l, c.clients, clientSample)
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.now().runs() || l.now() == created {
		c.unregister(l, f == nil)
	}
	l.hiding = snapshot.HidUnregistered
	r := c.registered(l)
	r.Sampled = f == nil
	return r, nil
}

// unregister closes the life of a sandbox that still runs.
func (c *Collector) unregister(l *life, sampled bool) {
	now := c.clock.Now()
	if l.usage.account.Load() != nil {
		l.readAccount(now)
	}
	metrics, usage := snapshot.NoOrigin, snapshot.NoOrigin
	switch {
	case l.sampled() && sampled:
		metrics = snapshot.FromUnregister
	case l.sampled():
		metrics = snapshot.FromSample
	}
	if l.isMeasured() {
		usage = snapshot.FromUnregister
	}
	l.move(unregistered)
	end := snapshot.End{Time: now, Lifetime: l.lifetime(now), Outcome: snapshot.Unregistered, MemoryPeak: l.peak()}
	c.close(l, end, metrics, usage, snapshot.FromUnregister)
	l.usage.close()
	c.counts.unregistered++
	c.options.Logger.Info("Sandbox unregistered by a client", append(l.attrs(), "sampled", sampled)...)
}
