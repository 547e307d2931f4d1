package control

import (
	"fmt"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// TestHang: while connections to the sockets of a directory hang, the others go on, on another goroutine.
// Nothing else connects to that directory before the kernel returns.
func TestHang(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	var honest, hanging []*probe
	for i := range 20 {
		s := w.start(simulate.Spec{ID: fmt.Sprint("s", i)})
		p := newProbe(s.SocketPath())
		if i%4 == 3 {
			p.address.dir = fmt.Sprint("/hung/", i%8)
			p.address.hang = func() { <-release }
			hanging = append(hanging, p)
		} else {
			honest = append(honest, p)
		}
	}
	var all []*probe
	for i := range max(len(honest), len(hanging)) {
		all = append(all, honest[i])
		if i < len(hanging) {
			all = append(all, hanging[i])
		}
	}
	for range 2 {
		w.run(all...)
		w.allHonest(honest)
		w.allFailed(hanging, failure.RootHung)
	}
	if !w.loop.guard.Hung("/hung/3") || !w.loop.guard.Hung("/hung/7") || w.loop.guard.Hung(w.root) {
		t.Error("other directories hang")
	}
	close(release)
	for w.loop.guard.Hung("/hung/3") || w.loop.guard.Hung("/hung/7") {
		time.Sleep(time.Millisecond)
	}
	w.run(all...)
	w.allHonest(all)
}
