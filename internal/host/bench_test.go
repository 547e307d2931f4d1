package host

import (
	"os"
	"testing"
	"time"
)

// BenchmarkSync is what each scrape does for 1,000 processes that run.
func BenchmarkSync(b *testing.B) {
	w := newWatcher(b)
	for range 1000 {
		w.Watch(os.Getpid(), time.Now())
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
		w.Watch(os.Getpid(), time.Now()).Release()
	}
}

// BenchmarkAlive is what a command that lists sandboxes does for each.
func BenchmarkAlive(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if !Alive(os.Getpid(), time.Now()) {
			b.Fatal("this process has ended")
		}
	}
}
