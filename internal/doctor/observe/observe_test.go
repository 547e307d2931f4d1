package observe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/clock"
	"github.com/sandmeter/sandmeter/internal/doctor"
	"github.com/sandmeter/sandmeter/internal/guard"
	"github.com/sandmeter/sandmeter/internal/leaktest"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
	"github.com/sandmeter/sandmeter/metricclient"
	"github.com/sandmeter/sandmeter/metricserver"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// options returns the options for runtime roots and a server at an address, on a host whose only process
// is this one.
func options(t *testing.T, address string, roots ...string) Options {
	proc, pid := t.TempDir(), fmt.Sprint(os.Getpid())
	must(t, os.Symlink("/proc/"+pid, filepath.Join(proc, pid)))
	return Options{Proc: proc, Roots: roots, Address: address, Given: address != "", Server: metricserver.Options{TotalsBy: metricserver.TotalsOff},
		Connect: func(address string) *metricclient.MetricClient { return metricclient.NewMetricClient(address, "") }}
}

// testNode returns a node without observations.
func testNode() *node {
	return &node{Options: Options{Proc: "/proc"}, guard: guard.New(clock.Real), Observed: new(doctor.Observed)}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve runs a server until the test ends, and returns the path of its socket.
func serve(t *testing.T, o metricserver.Options) string {
	t.Helper()
	socket := filepath.Join(testkit.TempDir(t), "s")
	l, err := net.Listen("unix", socket)
	must(t, err)
	s, err := metricserver.New(o)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-ended)
	})
	return socket
}

// TestLocal: without a server, a server in this process describes the runtime roots, and one that does
// not exist, too.
func TestLocal(t *testing.T) {
	root := testkit.TempDir(t)
	testkit.Start(t, root, simulate.Spec{ID: "sb"})
	missing := filepath.Join(root, "missing")
	o := options(t, "", root, missing)
	o.Address = missing
	got := Node(t.Context(), o)
	if len(got.Servers) != 0 || got.Local == nil || len(got.Local.Sandboxes) != 1 || got.Local.Sandboxes[0].QueryStatus != "ok" {
		t.Fatalf("%+v", got)
	}
	if roots := got.Local.RuntimeRoots; len(roots) != 2 || roots[0].State != "ok" || roots[1].State != "missing" {
		t.Errorf("%+v", roots)
	}
}

// TestServed: a server describes its runtime root. Those that the user names are examined here, too.
func TestServed(t *testing.T) {
	root := testkit.TempDir(t)
	testkit.Start(t, root, simulate.Spec{ID: "a"})
	address := serve(t, metricserver.Options{Roots: []string{root}, DropIn: true})
	got := Node(t.Context(), options(t, address))
	if s := got.Servers[0]; s.State != doctor.Answered || s.PID != os.Getpid() || len(s.Status.Sandboxes) != 1 || got.Local != nil {
		t.Errorf("%+v", got)
	}
	got = Node(t.Context(), options(t, address, root))
	if got.Local == nil || len(got.Local.Sandboxes) != 1 || len(got.Sandboxes()) != 1 || got.Sandboxes()[0].Server == nil {
		t.Errorf("%+v", got)
	}
}

// ask asks the server at an address that the user gave.
func ask(t *testing.T, address string) doctor.Server {
	n := testNode()
	n.Options = options(t, address)
	n.servers(t.Context())
	return n.Servers[0]
}

// TestStates: the states of servers that do not describe themselves.
func TestStates(t *testing.T) {
	f := func(name string, want doctor.State, handler http.HandlerFunc) {
		t.Helper()
		s := httptest.NewServer(handler)
		defer s.Close()
		got := ask(t, s.Listener.Addr().String())
		if got.State != want || got.Error == "" {
			t.Errorf("%s: %+v, want %s", name, got, want)
		}
	}
	f("gVisor's own", doctor.NoStatus, http.NotFound)
	f("with a password", doctor.NoAccess, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	f("something else", doctor.Unreachable, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") })
	f("broken", doctor.Unreachable, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "null") })
	if got := ask(t, filepath.Join(t.TempDir(), "none")); got.State != doctor.Unreachable {
		t.Errorf("nothing: %+v", got)
	}
}

// TestSockets: the sockets of this process are found, and whose they are decides.
func TestSockets(t *testing.T) {
	n := testNode()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer tcp.Close()
	path := filepath.Join(testkit.TempDir(t), "s")
	l, err := net.Listen("unix", path)
	must(t, err)
	defer l.Close()
	n.server(os.Getpid())
	for _, address := range []string{tcp.Addr().String(), path} {
		if !slices.ContainsFunc(n.found[0].sockets, func(s socket) bool { return s.address() == address }) {
			t.Errorf("%s is not in %+v", address, n.found)
		}
		if err := n.check(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	if got, err := n.reach(&listening{os.Getpid(), []socket{{path: path}}}); got != path || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	must(t, os.Chmod(filepath.Dir(path), 0o777))
	if err := n.check(path); err == nil || !strings.Contains(err.Error(), "writable by everybody") {
		t.Errorf("a directory that others can write: %v", err)
	}
	for _, address := range []string{"127.0.0.1:1", filepath.Join(t.TempDir(), "none")} {
		if err := n.check(address); !errors.Is(err, errNoListener) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestStateFiles: whether a process has a state file, in runtime roots that nobody else can change.
func TestStateFiles(t *testing.T) {
	root := testkit.TempDir(t)
	must(t, os.WriteFile(filepath.Join(root, "sb_sandbox:sb.state"), nil, 0o600))
	fifo := filepath.Join(testkit.TempDir(t), "fifo")
	must(t, unix.Mkfifo(fifo, 0o600))
	open := testkit.TempDir(t)
	must(t, os.Chmod(open, 0o777))
	n := testNode()
	n.Proc = t.TempDir()
	process := func(id, root string) {
		p := doctor.Process{PID: len(n.Processes) + 1, Sandbox: id, Root: root}
		n.Processes = append(n.Processes, p)
		must(t, os.Mkdir(n.file(p.PID, ""), 0o755))
		must(t, os.WriteFile(n.file(p.PID, "cmdline"), []byte("runsc\x00--root="+root+"\x00boot\x00"+id), 0o600))
	}
	process("sb", root)
	process("gone", root)
	process("ended", root)
	must(t, os.Remove(n.file(3, "cmdline")))
	process("sb", fifo)
	process("sb", open)
	process("sb", root+"/none")
	n.examineRoots()
	n.lookForStateFiles()
	var got []string
	for _, p := range n.Processes {
		text, _ := json.Marshal(p.HasStateFile)
		got = append(got, string(text))
	}
	if want := []string{"true", "false", "null", "null", "null", "null"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if paths := n.roots(); !slices.Equal(paths, []string{root}) || len(n.NotExamined) != 3 {
		t.Errorf("%q, and not %+v", paths, n.NotExamined)
	}
}

// TestStopped: a process that a signal has stopped.
func TestStopped(t *testing.T) {
	n := testNode()
	if why := n.stopped(os.Getpid()); why != "" {
		t.Error(why)
	}
	cmd := exec.Command("sleep", "60")
	must(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	must(t, cmd.Process.Signal(syscall.SIGSTOP))
	for n.stopped(cmd.Process.Pid) == "" && t.Context().Err() == nil {
		time.Sleep(time.Millisecond)
	}
}

// TestTrust: a process counts if root or this user started it, with all of its user IDs.
func TestTrust(t *testing.T) {
	n := testNode()
	me, other := os.Geteuid(), os.Geteuid()+1000
	f := func(want bool, uids ...int) {
		t.Helper()
		if got := n.trusts(os.Getpid(), uids); got != want {
			t.Errorf("%v: %t", uids, got)
		}
	}
	f(true, me, me, me, me)
	f(true, 0, 0, 0, 0)
	f(false, other, 0, 0, 0)
	f(false, 0, 0, 0, other)
	f(false, overflowUser, overflowUser, overflowUser, overflowUser) // in this user namespace
	f(false)
}
