package kubernetes

import (
	"errors"
	"fmt"
	"maps"
	"time"
)

// A watch reads pages all the time, and counts them.
type watch struct {
	n      *node
	want   map[life]bool // that each page must have
	stop   chan struct{}
	ended  chan struct{}
	pages  map[string]int // by UID of the server's pod
	gaps   int            // times that no server was ready
	faults []error
}

// watch starts reading pages.
func (n *node) watch() *watch {
	w := &watch{n: n, want: n.page().lives(), stop: make(chan struct{}), ended: make(chan struct{}), pages: make(map[string]int)}
	go func() {
		defer close(w.ended)
		for {
			select {
			case <-w.stop:
				return
			case <-time.After(50 * time.Millisecond):
				w.look()
			}
		}
	}()
	return w
}

// end stops reading pages.
func (w *watch) end() {
	close(w.stop)
	<-w.ended
}

// look reads a page of the server that is ready, if there is one.
func (w *watch) look() {
	server, err := w.ready()
	if err != nil {
		w.gaps++
		return
	}
	p, err := readPage(pageURL(server))
	if err != nil {
		// A server that is ready no longer has no page.
		if again, notReady := w.ready(); notReady == nil && again.Metadata.UID == server.Metadata.UID {
			w.faults = append(w.faults, err)
		}
		w.gaps++
		return
	}
	w.pages[server.Metadata.UID]++
	if now := p.lives(); !maps.Equal(now, w.want) {
		w.faults = append(w.faults, fmt.Errorf("page %d of server %s has sandboxes %v, want %v", w.pages[server.Metadata.UID], server.Metadata.Name, now, w.want))
	}
}

// ready returns the only server that is ready.
func (w *watch) ready() (pod, error) {
	servers, err := w.n.servers()
	if err != nil {
		return pod{}, err
	}
	for _, server := range servers {
		if server.ready() {
			return server, nil
		}
	}
	return pod{}, errors.New("no server is ready")
}

// checkUpgrade: each page that a ready server has, has all sandboxes with their metrics, and there
// is always a server that is ready, except from the end of one to the start of the next.
func checkUpgrade(n *node) {
	n.create("shop", shop, idle("shop", "web-1"), idle("shop", "web-2"))
	n.untilUp("shop", "web", "web-1", "web-2")
	w := n.watch()
	n.tagServer("next")
	n.helm("image.tag=next")
	n.untilServed()
	n.run(n.bin+"/helm", "rollback", "sandmeter", "--namespace", serverNamespace, "--wait", "--timeout", ample.String())
	n.untilServed()
	w.end()
	if len(w.pages) != 3 {
		n.t.Errorf("pages of %d servers, want 3: %v", len(w.pages), w.pages)
	}
	for _, fault := range w.faults[:min(5, len(w.faults))] {
		n.t.Error(fault)
	}
	n.t.Logf("pages by server: %v; looks without a server: %d; faults: %d", w.pages, w.gaps, len(w.faults))
}
