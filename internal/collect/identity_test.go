package collect

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/state"
)

// TestLevelOf: the PID in a state file is from the namespace in which runsc ran, which is above the
// one that the sandbox has.
func TestLevelOf(t *testing.T) {
	check := func(name string, pids []int, pid, want int) {
		t.Helper()
		if got := levelOf(pids, pid); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	check("runsc here", []int{7203, 1}, 7203, 0)
	check("runsc in a PID namespace", []int{23290, 13, 1}, 13, 1)
	check("runsc in a PID namespace of a PID namespace", []int{23290, 77, 13, 1}, 13, 2)
	check("a process without a PID namespace of its own", []int{7203}, 7203, 0)
	check("another process", []int{7203, 1}, 7204, -1)
	check("another process of the namespace", []int{23290, 14, 1}, 13, -1)
	check("PID 1, which every sandbox is to itself", []int{7203, 1}, 1, -1)
	check("its PID here, and another in the namespace of runsc", []int{23290, 13, 1}, 23290, 0)
	check("no process", nil, 7203, -1)
}

// TestAddressOf: which sockets can belong to a sandbox.
func TestAddressOf(t *testing.T) {
	root := t.TempDir()
	reaches := func(name, recorded, socket string, want bool) {
		t.Helper()
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		defer os.Remove(socket)
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
			t.Fatal(err)
		}
		if err := unix.Listen(fd, 1); err != nil {
			t.Fatal(err)
		}
		l, err := addressOf(&state.Sandbox{ID: "sb-of-test", ControlSocket: recorded}, root).Listener(control.Dir{})
		if got := err == nil; got != want {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
		if l.PIDFD >= 0 {
			unix.Close(l.PIDFD)
		}
	}
	const name = "runsc-sb-of-test.sock"
	own, temporary, other := filepath.Join(root, name), filepath.Join("/tmp", name), filepath.Join(t.TempDir(), name)
	reaches("in the root", own, own, true)
	reaches("in the root, wherever the state file says", other, own, true)
	reaches("in the root, if the state file does not say", "", own, true)
	reaches("where runsc puts it if the root's path is too long", temporary, temporary, true)
	reaches("in another root", other, other, false)
	reaches("of another sandbox", "/tmp/runsc-sb-of-victim.sock", "/tmp/runsc-sb-of-victim.sock", false)
	reaches("by a path that only looks like it", "/tmp/x/../"+name, temporary, true)
}

// TestSocketOutsideOfTheRoot: a socket in /run, /var/run or /tmp proves nothing unless the command line of
// the process has the runtime root, because a copied state file names it too.
func TestSocketOutsideOfTheRoot(t *testing.T) {
	n := newNode(t, nil)
	id := filepath.Base(n.root)
	n.start(simulate.Spec{ID: id, ControlSocket: "/tmp/runsc-" + id + ".sock"})
	page := n.page()
	n.expect(page, running, `runsc_meta_sandbox_running{sandbox="`+id+`"} 1`)
	n.expectReason(page, "wrong_peer")
}

// TestPresumed: a sandbox that has stopped accepts no connection when its backlog is full. If its
// process looks like the sandbox's, it counts until a connection shows which process listens.
func TestPresumed(t *testing.T) {
	looksLike := func(want bool) resemblance {
		return func(pid int, _ *state.Sandbox, certain bool) bool { return want && pid == 7 && certain }
	}
	facts := &state.Sandbox{ID: "a", PID: 7}
	s := looksLike(true).presume(facts)
	if s.presence != visible || !s.presumed || s.listener.PID != 7 {
		t.Errorf("%+v", s)
	}
	if s.listener.PIDFD >= 0 {
		unix.Close(s.listener.PIDFD)
	}
	if s := looksLike(false).presume(facts); s.presence != unproven || s.why.Reason != failure.Stalled {
		t.Errorf("a process that does not look like it: %+v", s)
	}

	n := newNode(t, nil)
	sandbox := n.start(simulate.Spec{ID: "a", OwnProcess: true})
	n.look()
	of := n.collector.table.sorted[0]
	locked := func(f func()) {
		n.collector.mu.Lock()
		defer n.collector.mu.Unlock()
		f()
	}
	locked(func() { of.presumed = true })
	n.page()
	if of.presumed || of.presence != visible {
		t.Errorf("after a reply, the presence is %d, and presumed %t", of.presence, of.presumed)
	}
	locked(func() { of.presumed, of.process = true, n.collector.watcher.Watch(os.Getppid()) })
	n.expect(n.page(), running, `runsc_meta_sandbox_running{sandbox="a"} 1`)
	if of.presence != unproven || of.process.PID() != 0 {
		t.Errorf("another process listens: the presence is %d, and the process %d", of.presence, of.process.PID())
	}
	n.expect(n.page(), opens, `runsc_fs_opens{sandbox="a"} 51`)
	if of.presence != visible || of.process.PID() != sandbox.PID() {
		t.Errorf("at the next collection, the presence is %d, and the process %d", of.presence, of.process.PID())
	}
}

// TestClaim: one process is the process of one sandbox.
func TestClaim(t *testing.T) {
	n := newNode(t, nil)
	for _, id := range []string{"a", "b"} {
		n.start(simulate.Spec{ID: id, OwnProcess: true})
	}
	n.look()
	n.collector.mu.Lock()
	defer n.collector.mu.Unlock()
	table := n.collector.table
	a, b := table.sorted[0], table.sorted[1]
	claims := func(name string, s *sandbox, levels int, want *sandbox) {
		t.Helper()
		if got := table.claim(s, levels); got != want {
			t.Errorf("%s: claimed by %v, want %v", name, got, want)
		}
	}
	claims("its own", a, 2, nil)
	claims("its own again", a, 2, nil)
	own := b.process
	b.process = a.process
	claims("another's", b, 2, a)
	nextLife := &sandbox{inventory: a.inventory, facts: a.facts, process: a.process, presence: visible}
	claims("a process of an earlier life", nextLife, 2, nil)
	claims("of the next life", b, 2, nextLife)
	table.disclaim(nextLife)
	claims("one that nobody claims any more", b, 2, nil)
	table.disclaim(b)
	claims("one without a PID namespace of its own", a, 1, nil)
	claims("one that may serve several", b, 1, nil)
	b.process = own
}

// TestResembles: this process is not the kernel of a sandbox.
func TestResembles(t *testing.T) {
	for _, pid := range []int{os.Getpid(), 0, 1 << 22} {
		if resembles(pid, &state.Sandbox{ID: os.Args[len(os.Args)-1]}, false) {
			t.Errorf("process %d looks like a sandbox", pid)
		}
	}
}

// TestIsOfRoot: a command line has the runtime root of a sandbox, whatever the path.
func TestIsOfRoot(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	facts := &state.Sandbox{ID: "a", Dir: state.Dir{Device: st.Dev, Inode: st.Ino}}
	check := func(root string, wantSame, wantComparable bool) {
		t.Helper()
		same, comparable := isOfRoot([]string{"runsc-sandbox", "--log=/x", "--root=" + root, "boot", "a"}, facts)
		if same != wantSame || comparable != wantComparable {
			t.Errorf("%s is the root: %t, and can be compared: %t", root, same, comparable)
		}
	}
	check(dir, true, true)
	check(dir+"/", true, true)
	check(link, true, true)
	check(os.TempDir(), false, true)
	check(dir+"/none", false, false)
	check("relative", false, false)
	if same, comparable := isOfRoot([]string{"runsc-sandbox", "boot", "a"}, facts); same || comparable {
		t.Error("a command line without a root has it")
	}
	facts.Dir = state.Dir{}
	check(dir, false, false) // the sandbox is of no listing
}

// TestUnprovenUsage: nothing is measured as long as it is not known which process is the sandbox's.
func TestUnprovenUsage(t *testing.T) {
	h := newMeasuredNode(t, nil)
	spec := measured("a")
	spec.PID = os.Getppid()
	s := h.start(spec)
	usage := usageOn(h.page(), "a")
	if usage[`sandmeter_sandbox_usage_absent{reason="identity_unproven"}`] != "1" || usage[`sandmeter_sandbox_cpu_seconds_total{}`] != "" {
		t.Errorf("another process listens: %v", usage)
	}
	if pids := h.pids(); !slices.Equal(pids, []int{0}) {
		t.Errorf("the PIDs are %v", pids)
	}
	h.update(s, func(spec *simulate.Spec) { spec.PID = os.Getpid() })
	if usage := usageOn(h.page(), "a"); usage[`sandmeter_sandbox_cpu_seconds_total{}`] != "1.5" {
		t.Errorf("it listens: %v", usage)
	}
	if pids := h.pids(); !slices.Equal(pids, []int{s.PID()}) {
		t.Errorf("the PIDs are %v", pids)
	}
}

// pids returns the PIDs of sandboxes in a new snapshot.
func (n *node) pids() (pids []int) {
	snap := n.collect()
	for i := range snap.Sandboxes {
		pids = append(pids, snap.Sandboxes[i].PID)
	}
	return pids
}
