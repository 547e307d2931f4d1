package collect

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/leaktest"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// TestManyLives: what the collector keeps depends on the sandboxes that live and linger, and not on how
// many there were.
func TestManyLives(t *testing.T) {
	leaktest.Check(t)
	const rounds, atOnce, lingering = 125, 16, 50
	n, k := newRecordedNode(t, func(o *Options) { o.LingerMax, o.Usage = lingering, true })
	n.look()
	for round := range rounds {
		var lives []*simulate.Sandbox
		for i := range atOnce {
			id := fmt.Sprintf("%d-%d", round, i)
			pid := 0 // this process, or none for every fourth
			if i%4 == 0 {
				pid = -1
			}
			s := n.start(simulate.Spec{ID: id, PID: pid, Order: uint64(1 + i)})
			n.collector.Arrive(n.root, state.FileName(id), true)
			lives = append(lives, s)
		}
		if round%8 == 0 {
			n.collect()
		}
		for _, s := range lives {
			n.must(s.Remove())
		}
		n.look()
	}
	n.collect()
	snap := n.collect() // lists those that the one before dropped no more
	if got := len(k.all()); got != rounds*atOnce {
		t.Errorf("%d lives have a record, want %d", got, rounds*atOnce)
	}
	if len(snap.Sandboxes) != lingering {
		t.Errorf("%d sandboxes are in the snapshot, want %d", len(snap.Sandboxes), lingering)
	}
	n.expectKept(lingering)
}

// expectKept checks that the collector keeps nothing but sandboxes that linger.
func (n *node) expectKept(lingering int) {
	n.Helper()
	c := n.collector
	testkit.Until(n, "no sandbox waits for its first sample", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.waiters == 0
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	inv := c.table.inventories[0]
	for what, is := range map[string]struct{ got, most int }{
		"sandboxes that linger":                  {len(c.table.lingering), lingering},
		"sandboxes in the list of the table":     {len(c.table.sorted), lingering},
		"sandboxes with a state file":            {len(inv.byID), 0},
		"sandboxes without a state file":         {len(inv.past), lingering},
		"IDs of sandboxes that are gone":         {len(c.table.recent), maxRecent},
		"ends that are not closed":               {len(c.ends.take()), 0},
		"compiled registrations":                 {len(c.table.schemas.compiled), max(1, lingering)}, // one for all, unless no sandbox was there for a moment
		"errors of state files":                  {len(inv.fileErrors), 0},
		"queries outside of collections":         {len(c.arrivals) + len(c.clients) + c.waiters, 0},
		"inventories of roots that are not kept": {len(c.table.lost), 0},
	} {
		if is.got > is.most {
			n.Errorf("%d %s are kept, want at most %d", is.got, what, is.most)
		}
	}
}

// chaosIDs is how many IDs the sandboxes of a chaos have.
const chaosIDs = 8

// A chaos is a node on which everything happens at the same time.
type chaos struct {
	*node
	*keeper
	mu    sync.Mutex
	lives map[string]int // begun by ID
	alone sync.WaitGroup // of what follows, without those that go on until stop is closed
	with  sync.WaitGroup
	stop  chan struct{}
}

// TestChaos: sandboxes begin, change, stall, end and begin again with the same ID, while others collect,
// cut, register and unregister. Each life has one record, and the totals are the sum of the records.
func TestChaos(t *testing.T) {
	leaktest.Check(t)
	c := &chaos{lives: make(map[string]int), stop: make(chan struct{})}
	c.node, c.keeper = newRecordedNode(t, func(o *Options) { o.LingerMax, o.SandboxTimeout = 20, 50*time.Millisecond })
	c.look()
	for i := range chaosIDs {
		c.alone.Go(func() { c.sandboxes(fmt.Sprintf("s%d", i), rand.New(rand.NewPCG(uint64(i), 0))) })
	}
	for i := range 3 {
		c.until(func(r *rand.Rand) { c.scrape(r) }, uint64(100+i))
	}
	c.until(func(*rand.Rand) { c.look() }, 200)
	for i := range 4 {
		c.until(func(r *rand.Rand) { c.client(r) }, uint64(300+i))
	}
	c.alone.Wait()
	close(c.stop)
	c.with.Wait()
	c.collect()
	c.finish(false) // what a process told last
	c.check()
}

// until calls f until the sandboxes have ended.
func (c *chaos) until(f func(*rand.Rand), seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0))
	c.with.Go(func() {
		for {
			select {
			case <-c.stop:
				return
			default:
				f(r)
			}
		}
	})
}

// sandboxes has the lives with one ID, one after the other.
func (c *chaos) sandboxes(id string, r *rand.Rand) {
	for range 8 {
		c.mu.Lock()
		c.lives[id]++
		c.mu.Unlock()
		c.live(id, r)
	}
}

// live is one life.
func (c *chaos) live(id string, r *rand.Rand) {
	spec := simulate.Spec{ID: id, OwnProcess: r.IntN(3) > 0, Growth: int64(r.IntN(5))}
	if r.IntN(8) == 0 {
		spec.Behavior = simulate.Stall
	}
	s, err := simulate.Start(c.root, spec)
	if err != nil {
		c.Error(err)
		return
	}
	for range 1 + r.IntN(3) {
		c.collector.Arrive(c.root, state.FileName(id), true)
		err = errors.Join(err, s.Update(func(spec *simulate.Spec) {
			spec.More = nil
			for i := range r.IntN(3) {
				spec.More = append(spec.More, simulate.Container{ID: fmt.Sprint(id, "-", i)})
			}
		}))
	}
	if r.IntN(2) == 0 {
		s.Stop()
	}
	if err = errors.Join(err, s.Remove()); err != nil {
		c.Error(err)
	}
}

// scrape makes a collection: of all sandboxes or one, with or without a cut.
func (c *chaos) scrape(r *rand.Rand) {
	plan := Plan{Deadline: time.Now().Add(time.Duration(20+r.IntN(200)) * time.Millisecond)}
	if r.IntN(2) == 0 {
		plan.Sandboxes = snapshot.Union{{IDs: snapshot.NewValues([]string{c.anID(r)})}}
	}
	if r.IntN(2) == 0 {
		plan.Cuts, plan.OnCut = []time.Time{time.Now().Add(5 * time.Millisecond)}, func(_ int, cut *snapshot.Snapshot) { _ = text(cut) }
	}
	snap, err := c.collector.Collect(plan)
	if err != nil {
		c.Error(err)
		return
	}
	_ = text(snap)
}

func (c *chaos) anID(r *rand.Rand) string { return fmt.Sprint("s", r.IntN(chaosIDs)) }

// client registers or unregisters a sandbox that may or may not be there.
func (c *chaos) client(r *rand.Rand) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(r.IntN(30))*time.Millisecond)
	defer cancel()
	do := c.collector.Register
	if r.IntN(4) == 0 {
		do = c.collector.Unregister
	}
	_, _ = do(ctx, c.root, c.anID(r)) // either result is fine
}

// check checks the records and the totals.
func (c *chaos) check() {
	c.Helper()
	seen := make(map[string]bool) // lives by ID and creation
	records := make(map[string]int)
	var sum int64
	for _, s := range c.all() {
		life := fmt.Sprint(s.Labels.Sandbox, " ", s.CreatedAt)
		if seen[life] && !s.CreatedAt.IsZero() {
			c.Errorf("%s has two records", life)
		}
		seen[life] = true
		records[s.Labels.Sandbox]++
		sum += opensOf(&s)
		c.Logf("%s: %s, %d opens from %s", life, s.End.Outcome, opensOf(&s), s.End.Metrics)
	}
	for id, lives := range c.lives {
		if records[id] > lives {
			c.Errorf("%d lives of %s have %d records", lives, id, records[id])
		}
	}
	c.page()
	page := c.page()
	c.node.expect(page, allOpens, fmt.Sprint(allOpens, " ", sum))
	c.expectKept(20)
	c.collector.mu.Lock()
	total := c.collector.table.total
	c.collector.mu.Unlock()
	if total != len(c.all()) {
		c.Errorf("%d lives were served, and %d have a record", total, len(c.all()))
	}
}

// opensOf returns how many files a sandbox opened by its record.
func opensOf(s *snapshot.Sandbox) int64 {
	if s.Reported.Schema == nil {
		return 0
	}
	sample, _ := s.Reported.Find(s.Reported.Schema.Find([]byte("fs_opens")))
	return sample.Value
}
