package observe

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/doctor"
	"github.com/sandmeter/sandmeter/internal/leaktest"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
	"github.com/sandmeter/sandmeter/metricclient"
	"github.com/sandmeter/sandmeter/metricserver"
)

// noPID is above every PID that Linux gives, so that none of a test's many processes is the test.
const noPID = 5_000_000

func TestMain(m *testing.M) { leaktest.Main(m) }

// A world is the root directory of a host, with a runtime root outside of it. Its proc has the
// processes that a test writes, and this one.
type world struct {
	*testing.T
	dir, host, root string
	options         Options
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := testkit.TempDir(t)
	w := &world{T: t, dir: dir, host: filepath.Join(dir, "host"), root: filepath.Join(dir, "root")}
	w.must(os.Mkdir(w.root, 0o755))
	w.must(os.MkdirAll(filepath.Join(w.host, "proc"), 0o755))
	w.link("self", fmt.Sprint(os.Getpid()))
	w.options = Options{HostRoot: w.host, Address: filepath.Join(dir, "none"), ParseServer: noServer,
		Connect: func(address string) (*metricclient.MetricClient, error) {
			return metricclient.NewMetricClient(address, ""), nil
		}}
	return w
}

// needsRoot skips the test unless root runs it, or fails it in CI, where root does.
func needsRoot(t *testing.T, why string) {
	t.Helper()
	switch {
	case os.Geteuid() == 0:
	case os.Getenv("SANDMETER_REQUIRE_RUNSC") == "1":
		t.Fatal("needs root: " + why)
	default:
		t.Skip("needs root: " + why)
	}
}

func noServer([]string, func(string) string) (doctor.Settings, bool, error) {
	return doctor.Settings{}, false, nil
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// link makes files of this machine's proc files of the host's.
func (w *world) link(names ...string) {
	w.Helper()
	for _, name := range names {
		w.must(os.Symlink("/proc/"+name, filepath.Join(w.host, "proc", name)))
	}
}

// write writes a file of the host.
func (w *world) write(path, text string) {
	w.Helper()
	path = filepath.Join(w.host, path)
	w.must(os.MkdirAll(filepath.Dir(path), 0o755))
	w.must(os.WriteFile(path, []byte(text), 0o644))
}

// process writes a process of this user with a command line, whose words are separated by blanks.
func (w *world) process(pid int, commandLine string) {
	w.Helper()
	uid := os.Geteuid()
	w.processOf([4]int{uid, uid, uid, uid}, pid, commandLine)
}

// processOf writes a process with real, effective, saved and file system user IDs. Its program is
// the first word of its command line.
func (w *world) processOf(uids [4]int, pid int, commandLine string) {
	w.Helper()
	program, _, _ := strings.Cut(commandLine, " ")
	w.write(fmt.Sprintf("proc/%d/status", pid), fmt.Sprintf("Uid:\t%d\t%d\t%d\t%d\n", uids[0], uids[1], uids[2], uids[3]))
	w.program(pid, program)
	w.write(fmt.Sprintf("proc/%d/cmdline", pid), strings.ReplaceAll(commandLine, " ", "\x00")+"\x00")
	w.write(fmt.Sprintf("proc/%d/environ", pid), "")
}

// program makes a file the program of a process.
func (w *world) program(pid int, path string) {
	w.Helper()
	link := filepath.Join(w.host, "proc", fmt.Sprint(pid), "exe")
	w.must(os.RemoveAll(link))
	w.must(os.Symlink(path, link))
}

// start starts a sandbox in the runtime root.
func (w *world) start(spec simulate.Spec) *simulate.Sandbox {
	w.Helper()
	return testkit.Start(w, w.root, spec)
}

// observe observes the host.
func (w *world) observe() *doctor.Observed {
	w.Helper()
	return Node(w.Context(), w.options)
}

// causes returns the causes of a report as "check/cause", sorted.
func causes(o *doctor.Observed) []string {
	var names []string
	for _, r := range doctor.Examine(o).Results {
		for _, f := range r.Findings {
			names = append(names, r.Check+"/"+f.Cause)
		}
	}
	slices.Sort(names)
	return names
}

// wants fails the test unless the causes include one.
func (w *world) wants(o *doctor.Observed, cause string) {
	w.Helper()
	if got := causes(o); !slices.Contains(got, cause) {
		w.Errorf("the causes are %q, want %s; %+v", got, cause, o)
	}
}

// serve runs a server until stop is called. It returns when the server listens.
func (w *world) serve(o metricserver.Options) (stop func()) {
	w.Helper()
	listening := make(chan struct{})
	o.Listening = func([]net.Addr) error { close(listening); return nil }
	s, err := metricserver.New(o)
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-listening:
	case err := <-ended:
		w.Fatal(err)
	}
	return func() {
		cancel()
		w.must(<-ended)
	}
}
