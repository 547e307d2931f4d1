package collect

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
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
	s, err := c.await(ctx, root, id)
	if err != nil {
		return snapshot.Registered{}, err
	}
	f := c.sample(ctx, s, c.clients, clientSample)
	c.mu.Lock()
	defer c.mu.Unlock()
	if f != nil && !late(f.Reason) {
		return snapshot.Registered{}, f
	}
	return c.registered(s), nil
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
func (c *Collector) await(ctx context.Context, root, id string) (*sandbox, error) {
	if !c.Listed() { // what is there now may be older than the server
		if err := c.Look(); err != nil {
			return nil, err
		}
	}
	for {
		c.mu.Lock()
		s, err := c.table.find(root, id)
		arrived := c.arrived
		c.mu.Unlock()
		if !errors.Is(err, snapshot.ErrNoSandbox) && !errors.Is(err, registration.ErrSearching) {
			return s, err
		}
		again := time.NewTimer(recheck)
		select {
		case <-ctx.Done():
			again.Stop()
			return nil, err
		case <-arrived:
			again.Stop()
		case <-again.C:
		}
	}
}

// find returns the sandbox with the ID if it can be sampled.
func (t *table) find(root, id string) (*sandbox, error) {
	s, err := t.lookUp(root, id)
	switch {
	case err != nil:
		return nil, err
	case s.presence == created, s.final() != nil:
		return nil, snapshot.ErrNoSandbox
	case s.unregistered():
		return nil, failure.Newf(failure.Unregistered, "the sandbox has been unregistered")
	}
	t.lendTo(s)
	if f := s.flaw(); f != nil && f != s.unproven { // it may not listen yet
		return nil, f
	}
	return s, nil
}

// lookUp returns the sandbox with the ID that has a state file, or the last one that had and is still
// in snapshots.
func (t *table) lookUp(root, id string) (*sandbox, error) {
	inv := t.inventoryOf(root)
	if inv == nil {
		inv = t.adopt(root, false)
	}
	if inv == nil {
		return nil, snapshot.ErrNoRoot
	}
	s, _ := inv.look(id)
	for _, past := range slices.Backward(inv.past) {
		if s == nil && past.facts.ID == id && !past.dropped {
			s = past
		}
	}
	if s == nil {
		return nil, snapshot.ErrNoSandbox
	}
	return s, nil
}

// registered returns the sandbox as a client gets it. The caller holds mu.
func (c *Collector) registered(s *sandbox) snapshot.Registered {
	view := s.view(nil)
	if s.sampled() {
		view.Replied, view.Reported = s.baseline.When, s.reported()
	}
	return snapshot.Registered{Sandbox: view, Sampled: s.sampled()}
}

// Unregister takes a last sample of a sandbox, counts it in the totals, has it recorded, and hides
// it from pages until the ID is used again. It is for clients that are about to destroy the sandbox.
// The sample takes 100 ms at most. A sandbox that has ended, or was unregistered before, is hidden
// only. Unregister does not wait for a collection, and delays none. The error is snapshot.ErrNoRoot or
// snapshot.ErrNoSandbox.
func (c *Collector) Unregister(ctx context.Context, root, id string) (snapshot.Registered, error) {
	c.mu.Lock()
	s, err := c.table.lookUp(root, id)
	c.mu.Unlock()
	if err != nil {
		return snapshot.Registered{}, err
	}
	f := c.sample(ctx, s, c.clients, clientSample)
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.end == nil && s.final() == nil {
		c.unregister(s, f == nil)
	}
	s.hidden = true
	r := c.registered(s)
	r.Sampled = f == nil
	return r, nil
}

// unregister closes the life of a sandbox that still runs.
func (c *Collector) unregister(s *sandbox, sampled bool) {
	now := time.Now()
	if s.usage.account.Load() != nil {
		s.readAccount(now)
	}
	last := &frozen{replied: s.baseline.When}
	from := snapshot.NoOrigin
	if s.sampled() {
		last.reported = s.reported().WithoutGauges()
		from = snapshot.FromSample
		if sampled {
			from = snapshot.FromUnregister
		}
	}
	usage := snapshot.NoOrigin
	if c.meter != nil && !s.usage.found.Time.IsZero() {
		s.finishShares()
		last.usage = s.lastUsage()
		usage = snapshot.FromUnregister
	}
	s.frozen = last
	peak, _ := s.usage.found.Get(fact.MemoryPeak)
	s.close(snapshot.End{Time: now, Lifetime: s.lifetime(now), Outcome: snapshot.Unregistered, MemoryPeak: peak}, from, usage,
		s.networkOrigin(snapshot.FromUnregister))
	s.usage.close()
	c.counts.unregistered++
	c.options.Logger.Info("Sandbox unregistered by a client", append(s.attrs(), "sampled", sampled)...)
}
