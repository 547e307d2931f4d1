package host

import (
	"os"
	"testing"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// BenchmarkSync measures the cost per scrape of 1,000 running processes.
func BenchmarkSync(b *testing.B) {
	w := newWatcher(b)
	for range 1000 {
		w.Watch(os.Getpid())
	}
	b.ReportAllocs()
	for b.Loop() {
		w.Sync()
	}
}

// BenchmarkWatch measures the cost of a new sandbox.
func BenchmarkWatch(b *testing.B) {
	w := newWatcher(b)
	b.ReportAllocs()
	for b.Loop() {
		w.Watch(os.Getpid()).Release()
	}
}

// BenchmarkFinish measures the cost per end of the last reading of a sandbox's cgroup, whose files
// are held.
func BenchmarkFinish(b *testing.B) {
	tr := newTree(b, "v1.txt")
	m := tr.meter()
	m.mayHold = mayHoldCgroups
	a, u := tr.open(m, subject("hosta")), new(fact.Reading)
	a.Read(u, start)
	b.ReportAllocs()
	for b.Loop() {
		a.Finish(u, start)
	}
}

// BenchmarkRead measures the cost per sandbox and collection, on a recorded tree: with files of
// cgroups held, with files opened for each reading, and without a cgroup of its own.
func BenchmarkRead(b *testing.B) {
	benchmark := func(name, id string, below func() int) {
		b.Run(name, func(b *testing.B) {
			tr := newTree(b, "v1.txt")
			tr.mkdir("proc/9021/fd")
			m := tr.meter()
			m.mayHold = below
			a := tr.open(m, subject(id))
			u := new(fact.Reading)
			b.ReportAllocs()
			for b.Loop() {
				a.Read(u, start)
			}
			if u.Has(fact.CPU) != (id == "hosta") {
				b.Fatalf("measured %v", values(u))
			}
		})
	}
	benchmark("Held", "hosta", mayHoldCgroups)
	benchmark("Opened", "hosta", func() int { return 0 })
	benchmark("Sentry", "other", mayHoldCgroups)
}
