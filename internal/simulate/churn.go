package simulate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// ChurnOptions describe sandboxes that come and go.
type ChurnOptions struct {
	FleetOptions          // of each sandbox
	Rate         int      // sandboxes that start per second
	Life         struct { // for how long each lives, evenly distributed
		Min, Max time.Duration
	}
}

// ChurnStats are the counts of a churn.
type ChurnStats struct {
	Lives   int             // that have begun and ended
	Waits   []time.Duration // from just before the state file was written to the first request, of lives that had one, sorted
	Skipped int             // that could not start on time, because earlier ones had not started yet
}

// Percentile returns the wait that a part of the lives, 0 to 1, did not exceed; 0 if there are none.
func (s *ChurnStats) Percentile(part float64) time.Duration {
	if len(s.Waits) == 0 {
		return 0
	}
	return s.Waits[min(int(part*float64(len(s.Waits))), len(s.Waits)-1)]
}

// A churn is the state of Churn.
type churn struct {
	root string
	opts ChurnOptions

	lives sync.WaitGroup
	mu    sync.Mutex
	stats ChurnStats
	err   error // the first one
}

// Churn starts sandboxes under the runtime root, and removes each at the end of its life, until the
// context ends or a sandbox fails to start. It returns when all are removed.
func Churn(ctx context.Context, root string, opts ChurnOptions) (ChurnStats, error) {
	if opts.Rate < 1 || opts.Life.Min > opts.Life.Max {
		return ChurnStats{}, fmt.Errorf("simulate: churn of %d per second, for %v to %v", opts.Rate, opts.Life.Min, opts.Life.Max)
	}
	opts.setDefaults()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &churn{root: root, opts: opts}
	c.begin(ctx, cancel)
	c.lives.Wait()
	slices.Sort(c.stats.Waits)
	return c.stats, c.err
}

// begin begins lives at the rate until the context ends. Each has a goroutine of its own, since a life
// takes some milliseconds to begin. After a delay of this program it catches up.
func (c *churn) begin(ctx context.Context, cancel func()) {
	beginning := make(chan struct{}, 4*c.opts.Rate) // lives that are being started
	due := time.NewTimer(0)
	defer due.Stop()
	for i, began := 0, time.Now(); ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-due.C:
		}
		due.Reset(time.Until(began.Add(time.Duration(i+1) * time.Second / time.Duration(c.opts.Rate))))
		select {
		case beginning <- struct{}{}:
		default:
			c.skip()
			continue
		}
		c.lives.Go(func() {
			if err := c.live(ctx, i, beginning); err != nil {
				c.fail(err)
				cancel()
			}
		})
	}
}

func (c *churn) skip() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Skipped++
}

// live is one life.
func (c *churn) live(ctx context.Context, i int, beginning <-chan struct{}) error {
	schema := realSchema()
	spec := c.opts.spec(i, schema)
	w := wait{Behavior: spec.Behavior}
	spec.EditState, spec.Behavior = w.wrote, w.asked
	s, err := start(c.root, spec, schema, nil)
	<-beginning
	if err != nil {
		return err
	}
	length := c.opts.Life.Min + time.Duration(rand.New(rand.NewPCG(uint64(i), 2)).Int64N(int64(c.opts.Life.Max-c.opts.Life.Min)+1))
	end := time.NewTimer(length)
	defer end.Stop()
	select {
	case <-ctx.Done():
	case <-end.C:
	}
	err = s.Remove()
	c.count(&w)
	return err
}

func (c *churn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = errors.Join(errors.New("simulate: churn"), err)
	}
}

// count counts a life that has ended.
func (c *churn) count(w *wait) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Lives++
	if !w.first.IsZero() {
		c.stats.Waits = append(c.stats.Waits, w.first.Sub(w.written))
	}
}

// A wait measures how long the first request to a sandbox takes.
type wait struct {
	Behavior // nil: Honest

	mu             sync.Mutex
	written, first time.Time
}

// wrote is the sandbox's EditState, which is called before a state file is written.
func (w *wait) wrote(_ string, state []byte) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.written.IsZero() {
		w.written = time.Now()
	}
	return state
}

// asked is the sandbox's Behavior.
func (w *wait) asked(x *Exchange) error {
	w.mu.Lock()
	if w.first.IsZero() {
		w.first = time.Now()
	}
	w.mu.Unlock()
	if w.Behavior != nil {
		return w.Behavior(x)
	}
	return Honest(x)
}
