package simulate

import (
	"context"
	"os"
	"testing"
	"time"
)

// TestChurn: each life leaves nothing in the runtime root, and first requests are counted.
func TestChurn(t *testing.T) {
	root := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	begun := make(chan struct{}, 100)
	o := ChurnOptions{FleetOptions: FleetOptions{Spec: func(_ int, spec *Spec) {
		spec.NoSocket = true
		begun <- struct{}{}
	}}, Rate: 100}
	time.AfterFunc(time.Minute, cancel) // so that the test fails, and does not hang
	go func() {
		for range 5 {
			<-begun
		}
		cancel()
	}()
	stats, err := Churn(ctx, root, o)
	if err != nil || stats.Lives < 5 || len(stats.Waits) > 0 || stats.Percentile(0.5) != 0 {
		t.Errorf("got %+v, %v", stats, err)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
	if _, err := Churn(t.Context(), root, ChurnOptions{}); err == nil {
		t.Error("a churn without a rate has no error")
	}
}

func TestPercentile(t *testing.T) {
	s := ChurnStats{Waits: []time.Duration{1, 2, 3, 4}}
	for part, want := range map[float64]time.Duration{0: 1, 0.5: 3, 0.99: 4, 1: 4} {
		if got := s.Percentile(part); got != want {
			t.Errorf("%v: got %d, want %d", part, got, want)
		}
	}
}
