package control

import (
	"bytes"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/clock"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/guard"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// The fleet of the benchmarks. It replies in the same process, so its own work is in all times.
const (
	fleetSize   = 250
	fleetPoints = 60
)

// largeFleetSize is how many replies of 0.6 MB may be unfinished at once without exceeding heldMax.
const largeFleetSize = 12

// BenchmarkRun measures one query of each sandbox of a fleet. It does not parse replies.
//
// 21 to 25 µs, 2.0 allocations and 242 bytes per sandbox, as much as before queries were an
// interface and runs could overlap (21 to 26 µs).
func BenchmarkRun(b *testing.B) {
	benchmarkRun(b, benchFleet(b, fleetSize, nil))
}

// BenchmarkRunLarge measures the same with replies of 0.6 MB, which come in many pieces.
//
// With spare buffers 1.0 to 1.3 ms and 17 KB of garbage per sandbox; without them 1.8 to 2.1 ms and
// 1378 KB. Half of the time is that of frame.
func BenchmarkRunLarge(b *testing.B) {
	point := `{"metric":{"name":"fs_opens","type":2,"help":"Number of file opens."},"val":{"int":51}}`
	reply := []byte(`{"data":[` + strings.Repeat(point+",", 7000) + point + `]}}}`)
	benchmarkRun(b, benchFleet(b, largeFleetSize, func(x *simulate.Exchange) error { return x.Send(reply) }))
}

// BenchmarkFloor measures the same work with package net: 16 goroutines, each with one connection
// at a time.
func BenchmarkFloor(b *testing.B) {
	sandboxes := benchFleet(b, fleetSize, nil).Sandboxes
	request := ExportRequest()
	perSandbox(b, fleetSize, func() {
		var next atomic.Int64
		var workers sync.WaitGroup
		for range 16 {
			workers.Go(func() {
				buf := make([]byte, chunk)
				for i := next.Add(1) - 1; i < fleetSize; i = next.Add(1) - 1 {
					if err := fetch(sandboxes[i].SocketPath(), request, buf); err != nil {
						b.Error(err)
					}
				}
			})
		}
		workers.Wait()
	})
}

func benchmarkRun(b *testing.B, f *simulate.Fleet) {
	loop, err := NewLoop(guard.New(clock.Real))
	if err != nil {
		b.Fatal(err)
	}
	defer loop.Close()
	r := &counter{}
	var queries []Query
	for _, s := range f.Sandboxes {
		queries = append(queries, &counted{NewAddress(s.SocketPath(), ""), r})
	}
	perSandbox(b, len(queries), func() {
		*r = counter{}
		loop.Run(queries, time.Now().Add(time.Minute))
		if r.replies != len(queries) {
			b.Fatalf("%d of %d replied: %v", r.replies, len(queries), r.failure)
		}
	})
}

// fetch sends a request and reads the reply.
func fetch(path string, request, buf []byte) error {
	c, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write(request); err != nil {
		return err
	}
	for n := 0; ; {
		m, err := c.Read(buf[n:])
		if err != nil {
			return err
		}
		if n += m; whole(buf[:n]) {
			return nil
		}
	}
}

// whole reports whether an honest reply has arrived, by its last bytes.
func whole(reply []byte) bool { return bytes.HasSuffix(reply, []byte("]}}}")) }

// A counter counts the replies to all queries of a run.
type counter struct {
	replies int
	failure *failure.Failure
}

// counted is a Query whose reply is counted.
type counted struct {
	address *Address
	*counter
}

func (c *counted) Address() *Address      { return c.address }
func (c *counted) Request() []byte        { return ExportRequest() }
func (c *counted) Limit() int             { return 1 << 20 }
func (c *counted) Timeout() time.Duration { return ample }

func (c *counted) Connected(int) *failure.Failure { return nil }

func (c *counted) Read(r Reply, _ time.Duration) bool {
	if !whole(r.Untrusted()) {
		return false
	}
	c.replies++
	return true
}

func (c *counted) Next() Query { return nil }

func (c *counted) Fail(f *failure.Failure, _ time.Duration) { c.failure = f }

// benchFleet starts n sandboxes; a nil behavior is honest.
func benchFleet(b *testing.B, n int, behavior simulate.Behavior) *simulate.Fleet {
	b.Helper()
	f, err := simulate.StartFleet(testkit.TempDir(b), n, simulate.FleetOptions{
		Points: fleetPoints,
		Spec:   func(_ int, s *simulate.Spec) { s.Behavior = behavior },
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Remove() })
	return f
}

// perSandbox measures query, which queries n sandboxes, and reports the costs of one.
func perSandbox(b *testing.B, n int, query func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for b.Loop() {
		query()
	}
	runtime.ReadMemStats(&after)
	queried := float64(b.N * n)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/queried, "ns/sandbox")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/queried, "allocs/sandbox")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/queried, "B/sandbox")
	b.ReportMetric(0, "ns/op")
}
