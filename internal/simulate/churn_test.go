package simulate

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

// TestChurn: each life leaves nothing in the runtime root, and first requests are counted.
func TestChurn(t *testing.T) {
	root := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // so that the test fails, and does not hang
	defer cancel()
	var began atomic.Int64
	o := ChurnOptions{FleetOptions: FleetOptions{Spec: func(int, *Spec) {
		if began.Add(1) == 5 {
			cancel()
		}
	}}, Rate: 10}
	stats, err := Churn(ctx, root, o)
	if err != nil || stats.Lives < 5 || len(stats.Waits) > 0 || stats.Percentile(0.5) != 0 {
		t.Errorf("got %+v, %v", stats, err)
	}
	if left := names(t, root); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
	if _, err := Churn(t.Context(), root, ChurnOptions{}); err == nil {
		t.Error("a churn without a rate has no error")
	}
	s := ChurnStats{Waits: []time.Duration{1, 2, 3, 4}}
	if s.Percentile(0) != 1 || s.Percentile(0.5) != 3 || s.Percentile(1) != 4 {
		t.Error("wrong percentiles")
	}
}
