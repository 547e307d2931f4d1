package host

import (
	"os"
	"testing"
)

// BenchmarkSync is what each scrape does for 1,000 processes that run.
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

// BenchmarkWatch is what a new sandbox costs.
func BenchmarkWatch(b *testing.B) {
	w := newWatcher(b)
	b.ReportAllocs()
	for b.Loop() {
		w.Watch(os.Getpid()).Release()
	}
}

// BenchmarkLook is what a command that lists sandboxes does for each.
func BenchmarkLook(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, alive := Look(os.Getpid()); !alive {
			b.Fatal("this process has ended")
		}
	}
}
