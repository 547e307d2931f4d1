package collect

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// cgroupDir makes a cgroup in this machine's hierarchy of cgroup v2.
func cgroupDir(t *testing.T, name string) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	dir := ""
	if m := regexp.MustCompile(`(?m)^\S+ \S+ \S+ / (\S+) .* - cgroup2 `).FindSubmatch(mounts); m != nil {
		dir = filepath.Join(string(m[1]), name)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		if os.Getenv("SANDMETER_REQUIRE_RUNSC") == "1" { // as in CI, which has cgroup v2
			t.Fatalf("no cgroup v2 to change: %v", err)
		}
		t.Skipf("needs a mount of cgroup v2 that it may change: %v", err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	return dir
}

// TestKept: figures of the cgroup are kept when the watcher notices the end, so it may be removed before
// the last reading.
func TestKept(t *testing.T) {
	h := newMeasuredNode(t, nil)
	h.look()
	s := h.start(simulate.Spec{ID: "b", OwnProcess: true})
	h.addProcess(t, s.PID(), "b")
	dir := cgroupDir(t, "sandmeter-test-kept")
	h.must(os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(s.PID())), 0))
	own := filepath.Join(h.dir, "sys/fs/cgroup/b")
	h.must(os.RemoveAll(own))
	h.must(os.Symlink(dir, own))
	h.arrive(s)
	h.collector.mu.Lock()
	l := h.life("b")
	account := l.usage.account.Load()
	h.collector.mu.Unlock()
	last, finished := new(fact.Reading), make(chan struct{})
	l.process.AtEnd(func() {
		defer close(finished)
		h.must(os.Remove(dir))
		account.Finish(last, h.now())
	})
	s.Stop()
	<-finished
	if !last.Has(fact.CPU) {
		t.Errorf("nothing was kept; it was measured before: %+v", l.usage.found)
	}
}
