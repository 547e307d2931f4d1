package kubernetes

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// servers returns the pods of the server, ready or not.
func (n *node) servers() ([]pod, error) {
	all, err := n.pods(serverNamespace)
	return slices.DeleteFunc(all, func(p pod) bool { return p.Metadata.Labels["app.kubernetes.io/name"] != "sandmeter" }), err
}

// pageURL returns the address of the page of a server's pod.
func pageURL(p pod) string { return "http://" + p.Status.PodIP + ":19640/metrics" }

// tryPage returns the page of the only server.
func (n *node) tryPage() (page, error) {
	servers, err := n.servers()
	if err == nil && (len(servers) != 1 || !servers[0].ready()) {
		err = fmt.Errorf("not one server that is ready: %+v", servers)
	}
	if err != nil {
		return nil, err
	}
	p, err := readPage(pageURL(servers[0]))
	for _, s := range p.find("sandmeter_sandbox_presence") {
		n.seen[s.life()] = true
	}
	return p, err
}

// page returns the page of the server.
func (n *node) page() (p page) {
	n.t.Helper()
	n.until(func() (err error) {
		p, err = n.tryPage()
		return err
	})
	return p
}

// untilPage reads pages until one passes a check, and returns it.
func (n *node) untilPage(check func(p page) error) (p page) {
	n.t.Helper()
	n.until(func() (err error) {
		if p, err = n.tryPage(); err == nil {
			err = check(p)
		}
		return err
	})
	return p
}

// A record is a line of --final-records, as far as tests read it.
type record struct {
	ID, Iteration  string
	Pod, Namespace string
	Outcome        string
	ExitCode       *int     `json:"exit_code"`
	Signal         *int     `json:"signal"`
	CPU            *float64 `json:"cpu_seconds"`
	Containers     []recordedContainer
}

// A recordedContainer is a container of a record.
type recordedContainer struct {
	Name, Image string
	CPU         float64 `json:"cpu_seconds"` // 0: not known
}

// A life is a sandbox from its start to its end: an ID may be used again.
type life struct{ id, iteration string }

func (r record) life() life { return life{r.ID, r.Iteration} }

// String returns the outcome, and the exit status and the signal if there are any.
func (r record) String() string {
	text := r.Outcome
	if r.ExitCode != nil {
		text += fmt.Sprint(" status ", *r.ExitCode)
	}
	if r.Signal != nil {
		text += fmt.Sprint(" signal ", *r.Signal)
	}
	return text
}

// allRecords returns all records that the server has written, by life. It fails the test if one has
// two.
func (n *node) allRecords() (map[life]record, error) {
	text, err := os.ReadFile(recordsFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	all := make(map[life]record)
	for line := range strings.Lines(string(text)) {
		var r record
		if !strings.HasSuffix(line, "\n") {
			break // it is being written
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return nil, err
		}
		if _, twice := all[r.life()]; twice {
			n.t.Errorf("sandbox %s has two records", r.ID)
		}
		all[r.life()] = r
	}
	return all, nil
}

// records returns the records of a namespace, by pod.
func (n *node) records(namespace string) (map[string][]record, error) {
	all, err := n.allRecords()
	pods := make(map[string][]record)
	for _, r := range all {
		if r.Namespace == namespace {
			pods[r.Pod] = append(pods[r.Pod], r)
		}
	}
	return pods, err
}

// untilRecorded waits until each pod of a namespace has a number of records, and returns those.
func (n *node) untilRecorded(namespace string, number int, pods ...string) (all map[string][]record) {
	n.t.Helper()
	n.until(func() (err error) {
		all, err = n.records(namespace)
		for _, name := range pods {
			if len(all[name]) != number {
				err = errors.Join(err, fmt.Errorf("pod %s has %d records, not %d", name, len(all[name]), number))
			}
		}
		return err
	})
	return all
}
