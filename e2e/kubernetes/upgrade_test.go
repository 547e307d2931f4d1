package kubernetes

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// A watch reads pages all the time, and counts them.
type watch struct {
	n     *node
	want  map[life]bool // that each page must have
	stop  chan struct{}
	ended chan struct{}

	mu     sync.Mutex     // guards the following
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

// untilServers waits until pages of a number of servers have been read.
func (w *watch) untilServers(number int) {
	w.n.t.Helper()
	w.n.until(func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.pages) < number {
			return fmt.Errorf("pages of %d servers were read, not of %d", len(w.pages), number)
		}
		return nil
	})
}

// end stops reading pages.
func (w *watch) end() {
	close(w.stop)
	<-w.ended
}

// look reads a page of the server that is ready, if there is one.
func (w *watch) look() {
	servers, err := w.n.servers()
	if err != nil {
		w.add(func() { w.faults = append(w.faults, err) })
		return
	}
	ready := slices.IndexFunc(servers, pod.ready)
	if ready < 0 {
		w.add(func() { w.gap(servers) })
		return
	}
	server := servers[ready]
	p, err := readPage(pageURL(server))
	if err == nil {
		w.add(func() { w.page(server, p) })
		return
	}
	// A server that is being deleted by now needs no page.
	again, laterErr := w.n.pod(serverNamespace, server.Metadata.Name)
	w.add(func() {
		w.gaps++
		if laterErr == nil && again.Metadata.DeletionTimestamp == nil {
			w.faults = append(w.faults, err)
		}
	})
}

// add changes what has been counted.
func (w *watch) add(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// gap counts that no server is ready. One that was, stays so until it is deleted.
func (w *watch) gap(servers []pod) {
	w.gaps++
	for _, server := range servers {
		if w.pages[server.Metadata.UID] > 0 && server.Metadata.DeletionTimestamp == nil {
			w.faults = append(w.faults, fmt.Errorf("server %s was ready, and is not: %+v", server.Metadata.Name, server.Status))
		}
	}
}

// page counts a page, which must have all sandboxes.
func (w *watch) page(server pod, p page) {
	w.pages[server.Metadata.UID]++
	if now := p.lives(); !maps.Equal(now, w.want) {
		w.faults = append(w.faults, fmt.Errorf("page %d of server %s has sandboxes %v, want %v", w.pages[server.Metadata.UID], server.Metadata.Name, now, w.want))
	}
}

// checkUpgrade: each page that a ready server has, has all sandboxes with their metrics, and there
// is always a server that is ready, except from the end of one to the start of the next.
func checkUpgrade(n *node) {
	n.create("shop", shop, idle("shop", "web-1"), idle("shop", "web-2"))
	n.untilUp("shop", "web", "web-1", "web-2")
	w := n.watch()
	w.untilServers(1)
	n.tagServer("next")
	n.helm("image.tag=next")
	w.untilServers(2)
	n.run(n.bin+"/helm", "rollback", "sandmeter", "--namespace", serverNamespace, "--wait", "--timeout", ample.String())
	w.untilServers(3)
	w.end()
	if len(w.pages) != 3 {
		n.t.Errorf("pages of %d servers, want 3: %v", len(w.pages), w.pages)
	}
	for _, fault := range w.faults[:min(5, len(w.faults))] {
		n.t.Error(fault)
	}
	n.t.Logf("pages by server: %v; looks without a server: %d; faults: %d", w.pages, w.gaps, len(w.faults))
	n.untilServed()
}
