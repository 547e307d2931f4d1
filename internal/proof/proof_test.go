package proof

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/failure"
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
		l, err := AddressOf(&state.Sandbox{ID: "sb-of-test", ControlSocket: recorded}, root).Listener(control.Dir{})
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

// TestPresumed: a sandbox that has stopped accepts no connection when its backlog is full. If its
// process looks like the sandbox's, it counts until a connection shows which process listens.
func TestPresumed(t *testing.T) {
	looksLike := func(want bool) Resemblance {
		return func(pid int, _ *state.Sandbox, certain bool) bool { return want && pid == 7 && certain }
	}
	facts := &state.Sandbox{ID: "a", PID: 7}
	s := looksLike(true).presume(facts)
	if s.Presence != Visible || !s.Presumed || s.Listener.PID != 7 {
		t.Errorf("%+v", s)
	}
	if s.Listener.PIDFD >= 0 {
		unix.Close(s.Listener.PIDFD)
	}
	if s := looksLike(false).presume(facts); s.Presence != Unproven || s.Why.Reason != failure.Stalled {
		t.Errorf("a process that does not look like it: %+v", s)
	}
}

// TestResembles: this process is not the kernel of a sandbox.
func TestResembles(t *testing.T) {
	for _, pid := range []int{os.Getpid(), 0, 1 << 22} {
		if Resembles(pid, &state.Sandbox{ID: os.Args[len(os.Args)-1]}, false) {
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
