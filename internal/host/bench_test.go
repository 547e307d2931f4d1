package host

import (
	"os"
	"testing"
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

// BenchmarkLook measures the cost per sandbox of the command list.
func BenchmarkLook(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, alive := Look(os.Getpid()); !alive {
			b.Fatal("this process has ended")
		}
	}
}
