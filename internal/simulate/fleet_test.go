package simulate

import (
	"bytes"
	"sync"
	"testing"
)

func mustFleet(t *testing.T, root string, n int, opts FleetOptions) *Fleet {
	t.Helper()
	f, err := StartFleet(root, n, opts)
	must(t, err)
	t.Cleanup(func() { f.Remove() })
	return f
}

// TestFleet: sandboxes have the points, some of them grow, and nothing is left at the end.
func TestFleet(t *testing.T) {
	for _, points := range []int{8, 37, 60, 113, 170} {
		root := t.TempDir()
		f := mustFleet(t, root, 20, FleetOptions{Points: points, Second: OtherRegistration()})
		for _, s := range f.Sandboxes {
			before, after := ask(t, s.SocketPath(), exportAll), ask(t, s.SocketPath(), exportAll)
			if n := len(export(t, before).Data); n != points || normal(t, before) == normal(t, after) {
				t.Errorf("%s: %d points, want %d, in\n%s\n%s", s.ID(), n, points, before, after)
			}
		}
		must(t, f.Remove())
		if left := names(t, root); len(left) > 0 {
			t.Errorf("left over: %q", left)
		}
	}
	for _, points := range []int{7, 171} {
		if _, err := StartFleet(t.TempDir(), 1, FleetOptions{Points: points}); err == nil {
			t.Errorf("a fleet of %d points", points)
		}
	}
	static := mustFleet(t, t.TempDir(), 1, FleetOptions{Spec: func(_ int, s *Spec) { s.Growth = 0 }}).Sandboxes[0].SocketPath()
	if a, b := normal(t, ask(t, static, exportAll)), normal(t, ask(t, static, exportAll)); a != b {
		t.Errorf("static: %s, then %s", a, b)
	}
}

func TestFleetRegistrations(t *testing.T) {
	registered := func(s *Sandbox) []byte { return readState(t, s, "").Sandbox.RegisteredMetrics }
	own := mustFleet(t, t.TempDir(), 2, FleetOptions{}).Sandboxes
	if bytes.Equal(registered(own[0]), registered(own[1])) {
		t.Error("two sandboxes registered in one order")
	}
	same := mustFleet(t, t.TempDir(), 3, FleetOptions{Second: OtherRegistration(), Spec: func(_ int, s *Spec) { s.Order = 0 }}).Sandboxes
	if !bytes.Equal(registered(same[0]), registered(same[2])) || bytes.Equal(registered(same[0]), registered(same[1])) {
		t.Error("two orders, or Second is not registered")
	}
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	f := mustFleet(t, t.TempDir(), 4, FleetOptions{})
	var users sync.WaitGroup
	for _, s := range f.Sandboxes {
		for _, use := range []func() error{
			func() error { ask(t, s.SocketPath(), exportAll); return nil },
			func() error { return s.Add("fs_opens", nil, 1) },
			func() error { return s.Set(Point{Metric: "fs_reads", Int: 7}) },
			func() error { return s.Update(func(spec *Spec) { spec.Pod += "p" }) },
			func() error { s.SetBehavior(Honest); s.SetBehavior(nil); s.Stats(); return nil },
		} {
			users.Go(func() {
				for range 20 {
					if err := use(); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	users.Wait()
	users.Go(func() { _ = f.Remove() })
	users.Go(func() { _ = f.Remove() })
	users.Wait()
}
