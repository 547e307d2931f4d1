package simulate

import (
	"context"
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

// Churn starts sandboxes under the runtime root, and removes each at the end of its life, until the
// context ends or a sandbox fails to start. It returns when all are removed.
func Churn(ctx context.Context, root string, opts ChurnOptions) (stats ChurnStats, err error) {
	if opts.Rate < 1 || opts.Life.Min > opts.Life.Max {
		return ChurnStats{}, fmt.Errorf("simulate: churn of %d per second, for %v to %v", opts.Rate, opts.Life.Min, opts.Life.Max)
	}
	opts.setDefaults()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var lives sync.WaitGroup
	var mu sync.Mutex                             // guards the results
	beginning := make(chan struct{}, 4*opts.Rate) // lives that are being started
	due := time.NewTicker(time.Second / time.Duration(opts.Rate))
	defer due.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		select {
		case beginning <- struct{}{}:
			lives.Go(func() { // of its own, since a life takes some milliseconds to begin
				wait, lifeErr := opts.live(ctx, root, i, beginning)
				mu.Lock()
				defer mu.Unlock()
				stats.Lives++
				if wait > 0 {
					stats.Waits = append(stats.Waits, wait)
				}
				if lifeErr != nil && err == nil {
					err = fmt.Errorf("simulate: churn: %w", lifeErr)
					cancel()
				}
			})
		default:
			mu.Lock()
			stats.Skipped++
			mu.Unlock()
		}
		select {
		case <-ctx.Done():
		case <-due.C:
		}
	}
	lives.Wait()
	slices.Sort(stats.Waits)
	return stats, err
}

// live is one life. It receives from beginning when it has begun, and returns how long the sandbox waited
// for its first request; 0 means that there was none.
func (o *ChurnOptions) live(ctx context.Context, root string, i int, beginning <-chan struct{}) (wait time.Duration, err error) {
	schema := realSchema()
	spec := o.spec(i, schema)
	written := sync.OnceValue(time.Now)
	spec.EditState = func(_ string, state []byte) []byte { // is called right before the file is written
		written()
		return state
	}
	asked := sync.OnceFunc(func() { wait = time.Since(written()) })
	spec.Behavior = func(x *Exchange) error {
		asked()
		return Honest(x)
	}
	s, err := start(root, spec, schema)
	<-beginning
	if err != nil {
		return 0, err
	}
	length := o.Life.Min + time.Duration(rand.New(rand.NewPCG(uint64(i), 2)).Int64N(int64(o.Life.Max-o.Life.Min)+1))
	select {
	case <-ctx.Done():
	case <-time.After(length):
	}
	err = s.Remove()
	return wait, err
}
