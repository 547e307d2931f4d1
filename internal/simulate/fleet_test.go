package simulate

import (
	"bytes"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/leaktest"
)

func mustFleet(t *testing.T, root string, n int, opts FleetOptions) *Fleet {
	t.Helper()
	f, err := StartFleet(root, n, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Remove() })
	return f
}

func TestFleetOfAThousand(t *testing.T) {
	leaktest.Check(t)
	root := t.TempDir()
	f := mustFleet(t, root, 1000, FleetOptions{})
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for _, s := range f.Sandboxes[i*125 : (i+1)*125] {
				if n := len(export(t, ask(t, s.SocketPath(), exportAll)).Data); n != 60 {
					t.Errorf("%s: %d points, want 60", s.ID(), n)
				}
			}
		})
	}
	clients.Wait()
	if stats := f.Stats(); stats.Connections != 1000 || stats.Queries != 1000 || stats.Peak < 1 {
		t.Errorf("stats: %+v", stats)
	}
	if n := len(names(t, root)); n != 3000 {
		t.Errorf("%d files, want 3000", n)
	}
	must(t, f.Remove())
	if n := len(names(t, root)); n != 0 {
		t.Errorf("%d files after Remove", n)
	}
}

func TestFleetSizes(t *testing.T) {
	for _, points := range []int{8, 37, 60, 113, 170} {
		f := mustFleet(t, t.TempDir(), 2, FleetOptions{Points: points, Second: OtherRegistration()})
		for _, s := range f.Sandboxes {
			if n := len(export(t, ask(t, s.SocketPath(), exportAll)).Data); n != points {
				t.Errorf("%s: %d points, want %d", s.ID(), n, points)
			}
		}
	}
	for _, points := range []int{7, 171} {
		if _, err := StartFleet(t.TempDir(), 1, FleetOptions{Points: points}); err == nil {
			t.Errorf("a fleet of %d points", points)
		}
	}
}

func TestFleetRegistrations(t *testing.T) {
	registered := func(s *Sandbox) []byte { return readState(t, s, "").Sandbox.RegisteredMetrics }
	own := mustFleet(t, t.TempDir(), 2, FleetOptions{})
	if bytes.Equal(registered(own.Sandboxes[0]), registered(own.Sandboxes[1])) {
		t.Error("two sandboxes registered in one order")
	}
	same := mustFleet(t, t.TempDir(), 3, FleetOptions{SameOrder: true, Second: OtherRegistration()})
	if !bytes.Equal(registered(same.Sandboxes[0]), registered(same.Sandboxes[2])) {
		t.Error("SameOrder: two orders")
	}
	if bytes.Equal(registered(same.Sandboxes[0]), registered(same.Sandboxes[1])) {
		t.Error("Second: not registered")
	}
}

func TestFleetGrowsUnlessStatic(t *testing.T) {
	opens := regexp.MustCompile(`"fs_opens"[^{]*\{"int":(\d+)`)
	value := func(s *Sandbox) int {
		n, err := strconv.Atoi(string(opens.FindSubmatch(ask(t, s.SocketPath(), exportAll))[1]))
		must(t, err)
		return n
	}
	growing := mustFleet(t, t.TempDir(), 1, FleetOptions{}).Sandboxes[0]
	if a, b := value(growing), value(growing); b <= a {
		t.Errorf("growing: %d, then %d", a, b)
	}
	static := mustFleet(t, t.TempDir(), 1, FleetOptions{Static: true}).Sandboxes[0]
	if a, b := value(static), value(static); b != a {
		t.Errorf("static: %d, then %d", a, b)
	}
}

// TestFleetLeavesOddConnections has all cases that the poller hands to goroutines.
func TestFleetLeavesOddConnections(t *testing.T) {
	f := mustFleet(t, t.TempDir(), 2, FleetOptions{Points: 170})
	s := f.Sandboxes[0]
	t.Run("other requests", func(t *testing.T) {
		if n := len(export(t, ask(t, s.SocketPath(), `{"method":"Metrics.Export","arg":{"only_metrics":"^fs_opens$"}}`)).Data); n != 1 {
			t.Errorf("%d points", n)
		}
		if reply := ask(t, s.SocketPath(), "rubbish"); reply != nil {
			t.Errorf("garbage: %s", reply)
		}
	})
	t.Run("more than the socket takes", func(t *testing.T) {
		c, err := net.Dial("unix", s.SocketPath())
		must(t, err)
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		before := s.Stats().Queries
		sent := 0
		for read := true; read; sent++ { // until nothing is read any more, since a reply does not fit
			_, err := io.WriteString(c, exportAll)
			must(t, err)
			read = false
			for wait := 0; !read && wait < 100; wait++ {
				time.Sleep(time.Millisecond)
				read = s.Stats().Queries > before+sent
			}
		}
		must(t, c.(*net.UnixConn).CloseWrite())
		all, err := io.ReadAll(c)
		must(t, err)
		if got := bytes.Count(all, []byte("]}}}")); got != sent {
			t.Errorf("%d whole replies to %d requests", got, sent)
		}
	})
	t.Run("behaviors", func(t *testing.T) {
		s.SetBehavior(Say("no"))
		defer s.SetBehavior(nil)
		c, err := net.Dial("unix", s.SocketPath())
		must(t, err)
		defer c.Close()
		io.WriteString(c, exportAll)
		b := make([]byte, 10)
		if n, _ := c.Read(b); string(b[:n]) != "no" {
			t.Errorf("read %q", b[:n])
		}
	})
	t.Run("freeze", func(t *testing.T) { checkFreeze(t, f.Sandboxes[1]) })
	t.Run("stop of one", func(t *testing.T) {
		c, err := net.Dial("unix", s.SocketPath())
		must(t, err)
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		for s.Stats().Open == 0 {
			time.Sleep(time.Millisecond)
		}
		s.Stop()
		if n, err := c.Read(make([]byte, 1)); n != 0 || os.IsTimeout(err) {
			t.Errorf("after Stop: %d bytes, %v", n, err)
		}
		if open := s.Stats().Open; open != 0 {
			t.Errorf("%d connections open", open)
		}
		if n := len(export(t, ask(t, f.Sandboxes[1].SocketPath(), exportAll)).Data); n != 170 {
			t.Errorf("the other one: %d points", n)
		}
	})
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	f := mustFleet(t, t.TempDir(), 4, FleetOptions{})
	one := mustStart(t, t.TempDir(), Spec{ID: "a"})
	var users sync.WaitGroup
	for i, s := range append(f.Sandboxes, one) {
		for _, use := range []func() error{
			func() error { ask(t, s.SocketPath(), exportAll); return nil },
			func() error { return s.Add("fs_opens", nil, 1) },
			func() error { return s.Set(Point{Metric: "fs_reads", Int: 7}) },
			func() error { return s.Update(func(spec *Spec) { spec.Pod = strconv.Itoa(i) }) },
			func() error { s.SetBehavior(Honest); s.SetBehavior(nil); return nil },
			func() error { s.Freeze(); s.Thaw(); s.Stats(); return nil },
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
	users.Go(f.Stop)
	users.Go(one.Stop)
	users.Wait()
}
