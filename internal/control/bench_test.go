package control

import (
	"bytes"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/sandboxtest"
)

// The fleet of both benchmarks. It answers in the same process, so its own work is in the times of both.
const (
	fleetSize   = 250
	fleetPoints = 60
)

// BenchmarkRun is what it takes to ask each sandbox of a fleet once, without looking into the answers.
func BenchmarkRun(b *testing.B) {
	loop, err := NewLoop()
	if err != nil {
		b.Fatal(err)
	}
	defer loop.Close()
	queries := queryAll(benchFleet(b).Sandboxes)
	perSandbox(b, func() {
		r := counter{}
		loop.Run(queries, time.Now().Add(time.Minute), &r)
		if r.answers != fleetSize {
			b.Fatalf("%d of %d answered: %v", r.answers, fleetSize, r.failure)
		}
	})
}

// BenchmarkFloor is what the same takes with the means of package net: 16 goroutines, each with a connection at a time.
func BenchmarkFloor(b *testing.B) {
	sandboxes := benchFleet(b).Sandboxes
	request := ExportRequest("")
	perSandbox(b, func() {
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

// fetch asks a question and reads the answer.
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

// whole reports whether an honest answer has arrived, by its last bytes.
func whole(answer []byte) bool { return bytes.HasSuffix(answer, []byte("]}}}")) }

// counter is a Receiver that counts answers.
type counter struct {
	answers int
	failure error
}

func (c *counter) Receive(_ int, r Reply) bool {
	if !whole(r.Untrusted()) {
		return false
	}
	c.answers++
	return true
}

func (c *counter) Fail(_ int, err error) { c.failure = err }

func benchFleet(b *testing.B) *sandboxtest.Fleet {
	b.Helper()
	root, err := os.MkdirTemp("", "sm")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(root) })
	f, err := sandboxtest.StartFleet(root, fleetSize, sandboxtest.FleetOptions{Points: fleetPoints})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Remove() })
	return f
}

// perSandbox measures ask, which asks the whole fleet, and reports the costs of one sandbox.
func perSandbox(b *testing.B, ask func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for b.Loop() {
		ask()
	}
	runtime.ReadMemStats(&after)
	asked := float64(b.N * fleetSize)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/asked, "ns/sandbox")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/asked, "allocs/sandbox")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/asked, "B/sandbox")
	b.ReportMetric(0, "ns/op")
}
