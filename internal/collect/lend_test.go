package collect

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/registration"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/state"
)

// A library finds the same registration for every build, or fails, and records the builds.
type library struct {
	found *state.Registration
	err   error
	asked []registration.Build
}

func (l *library) Find(b registration.Build) (*state.Registration, error) {
	l.asked = append(l.asked, b)
	return l.found, l.err
}

// newBorrowers returns a node that serves sandboxes without a registration.
func newBorrowers(t *testing.T, l *library) *node {
	t.Helper()
	return newNode(t, func(o *Options) { o.Registrations = l })
}

func registrationOf(r *simulate.Registration) *state.Registration {
	return &state.Registration{JSON: r.JSON()}
}

func (n *node) expectReason(page, want string) {
	n.Helper()
	if got := failureOf(page); got != want {
		n.Errorf("the reason is %q, want %q; the log is\n%s", got, want, &n.log)
	}
}

var errUnknown = errors.New("nothing found")

// TestGoferProgram: the program of the sandbox's gofer, which its command line shows to be one, is part of its
// build.
func TestGoferProgram(t *testing.T) {
	program, err := filepath.EvalSymlinks("/bin/sh")
	for args, want := range map[string]string{"gofer a": program, "gofer b": "", "boot a": ""} {
		l := new(library)
		n := newBorrowers(t, l)
		n.must(err)
		gofer := exec.Command("/bin/sh", append([]string{"-c", "read line"}, strings.Fields(args)...)...)
		in, err := gofer.StdinPipe()
		n.must(err)
		n.must(gofer.Start())
		n.start(simulate.Spec{ID: "a", Uninstrumented: true, Root: simulate.Container{GoferPID: gofer.Process.Pid}})
		n.page()
		if len(l.asked) == 0 || l.asked[0].Runsc.Path != want {
			t.Errorf("%s: asked for %+v, want a gofer's program %q", args, l.asked, want)
		}
		n.must(in.Close())
		_ = gofer.Wait() // it has read nothing, which is a failure
	}
}

// TestFoundRegistration: a sandbox has metrics from the collection on that finds its registration,
// and the log has no line about the time before.
func TestFoundRegistration(t *testing.T) {
	l := &library{err: registration.ErrSearching}
	n := newBorrowers(t, l)
	n.start(simulate.Spec{ID: "a", Uninstrumented: true})
	page := n.page()
	n.expectReason(page, "not_instrumented")
	n.expect(page, runningSeries, `runsc_meta_sandbox_running{sandbox="a"} 1`)
	n.expect(page, opens)
	l.found, l.err = registrationOf(simulate.RealRegistration()), nil
	page = n.page()
	n.expectReason(page, "")
	n.expect(page, opens, `runsc_fs_opens{sandbox="a"} 51`)
	n.page()
	path, err := os.Executable()
	n.must(err)
	release := registration.Release{Version: "VERSION_MISSING", Go: "go1.26.8", Arch: "amd64"}
	if len(l.asked) != 2 || l.asked[0].Sentry.Path != path || l.asked[0].Sentry.Inode == 0 || l.asked[1].Release != release {
		t.Errorf("asked for %+v, want twice %s of %+v", l.asked, path, release)
	}
	n.expectLog()
}

// TestLend: a sandbox borrows the registration of another one of the same build, and of no other.
func TestLend(t *testing.T) {
	const served = `runsc_fs_opens{sandbox="b"} 51`
	check := func(name string, lender, borrower simulate.Spec, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			l := &library{err: errUnknown}
			n := newBorrowers(t, l)
			lender.ID, borrower.ID, borrower.Uninstrumented = "a", "b", true
			n.start(lender)
			n.start(borrower)
			page := n.page()
			if got := slices.Contains(series(page, opens), served); got != (want == "") {
				t.Errorf("it is served: %v; the log is\n%s", got, &n.log)
			}
			n.expectReason(page, want)
			if asked := len(l.asked) > 0; asked != (want != "") {
				t.Errorf("a search was asked for: %v", l.asked)
			}
		})
	}
	other := simulate.DefaultMetadata()
	other["version"] = "release-1"
	none := map[string]string{}
	check("the same program", simulate.Spec{}, simulate.Spec{}, "")
	check("the same program, whatever the releases", simulate.Spec{Metadata: other}, simulate.Spec{}, "")
	check("another program of the same release", simulate.Spec{}, simulate.Spec{OwnProcess: true}, "not_instrumented")
	check("metrics in another order", simulate.Spec{Order: 7}, simulate.Spec{}, "")
	check("no release", simulate.Spec{Metadata: none}, simulate.Spec{Metadata: none}, "")
	refused := &simulate.Registration{Metrics: []simulate.Metric{{Name: "/x", PrometheusName: "meta_x"}}}
	check("a registration that is refused", simulate.Spec{Registration: refused}, simulate.Spec{}, "registration_refused")
	check("a lender that has ended", simulate.Spec{PID: -1}, simulate.Spec{}, "not_instrumented")
}

// TestLendToOtherRoot: roots do not lend to each other.
func TestLendToOtherRoot(t *testing.T) {
	n := newBorrowers(t, &library{err: errUnknown})
	one, _ := n.addRoot("one", "a", 1)
	two, s := n.addRoot("two", "b", 1)
	n.update(s, func(spec *simulate.Spec) { spec.Uninstrumented = true })
	n.serve(one, two)
	n.expect(n.page(), opens, opens+`runtime_root="`+one+`",sandbox="a"} 1`)
}

// TestLendByRelease: where the programs of processes are not readable, the release decides.
func TestLendByRelease(t *testing.T) {
	r := &state.Registration{}
	file, other := host.Executable{File: host.File{Inode: 1}}, host.Executable{File: host.File{Inode: 2}}
	release, next := registration.Release{Version: "1"}, registration.Release{Version: "2"}
	lend := func(lender, borrower registration.Build) bool {
		s := &life{facts: &state.Sandbox{Registration: r}, compiled: compile(registrationOf(simulate.RealRegistration()), schema.Zeros{}), build: &lender, state: running}
		return newLenders([]*life{s}, nil).find(borrower) == r
	}
	for _, c := range []struct {
		lender, borrower registration.Build
		want             bool
	}{
		{registration.Build{Sentry: file, Release: release}, registration.Build{Sentry: file, Release: next}, true},
		{registration.Build{Sentry: file, Release: release}, registration.Build{Sentry: other, Release: release}, false},
		{registration.Build{Sentry: file, Release: release}, registration.Build{Release: release}, true},
		{registration.Build{Release: release}, registration.Build{Release: release}, true},
		{registration.Build{Release: release}, registration.Build{Release: next}, false},
		{registration.Build{Release: release}, registration.Build{Sentry: file, Release: release}, false},
		{registration.Build{}, registration.Build{}, false},
	} {
		if got := lend(c.lender, c.borrower); got != c.want {
			t.Errorf("%+v lends to %+v: %v, want %v", c.lender, c.borrower, got, c.want)
		}
	}
}

// TestRefusedRegistration: a registration that runsc printed may be refused, and is replaced by one that is
// not. It is compiled once.
func TestRefusedRegistration(t *testing.T) {
	l := &library{found: registrationOf(&simulate.Registration{Metrics: []simulate.Metric{{Name: "/x", PrometheusName: "meta_x"}}})}
	n := newBorrowers(t, l)
	n.start(simulate.Spec{ID: "a", Uninstrumented: true})
	n.expectReason(n.page(), "registration_refused")
	refused := n.collector.table.sorted[0].compiled
	n.expectReason(n.page(), "registration_refused")
	if again := n.collector.table.sorted[0].compiled; again != refused {
		t.Error("it was compiled again")
	}
	n.expectLog(`reason=registration_refused err="registration refused: metric \"meta_x\": the prefix meta_ is reserved for the server"`)
	n.start(simulate.Spec{ID: "lender"})
	n.expect(n.page(), opens, `runsc_fs_opens{sandbox="a"} 51`, `runsc_fs_opens{sandbox="lender"} 51`)
}

// TestLenderDisappears: the borrower keeps its registration and its baseline.
func TestLenderDisappears(t *testing.T) {
	n := newBorrowers(t, &library{err: errUnknown})
	n.collector.options.Linger = 0
	lender := n.start(simulate.Spec{ID: "a"})
	calls := 0
	n.start(simulate.Spec{ID: "b", Uninstrumented: true, Behavior: simulate.Edit(func(_ *simulate.Exchange, reply string) string {
		if calls++; calls > 2 {
			return strings.Replace(reply, `"int":51}`, `"int":50}`, 1)
		}
		return reply
	})})
	n.expect(n.page(), opens, `runsc_fs_opens{sandbox="a"} 51`, `runsc_fs_opens{sandbox="b"} 51`)
	n.must(lender.Remove())
	n.expect(n.page(), opens, `runsc_fs_opens{sandbox="b"} 51`)
	n.expectReason(n.page(), "reply_refused")
	n.expectLog("a counter decreased (from 51 to 50)")
}

// TestEndedLender: a sandbox that was seen while it ran lends its registration after its end, whether a look
// or its arrival has found it.
func TestEndedLender(t *testing.T) {
	for name, see := range map[string]func(n *node){
		"look":    func(n *node) { n.look() },
		"arrival": func(n *node) { n.collector.Arrive(n.root, "a_sandbox:a.state", true) },
	} {
		t.Run(name, func(t *testing.T) {
			n := newBorrowers(t, &library{err: errUnknown})
			n.look()
			lender := n.start(simulate.Spec{ID: "a", OwnProcess: true})
			see(n)
			n.must(lender.Exit(0))
			n.start(simulate.Spec{ID: "b", OwnProcess: true, Uninstrumented: true})
			n.expectReason(n.page(), "")
		})
	}
}

// TestIncomplete: a sandbox whose kernel is a program next to runsc may have metrics that runsc does not
// print.
func TestIncomplete(t *testing.T) {
	l := &library{err: fmt.Errorf("no metrics registered, and %w", registration.ErrIncomplete)}
	n := newBorrowers(t, l)
	n.start(simulate.Spec{ID: "a", Uninstrumented: true})
	n.expectReason(n.page(), "registration_incomplete")
	fewer := *simulate.RealRegistration()
	fewer.Metrics = slices.DeleteFunc(slices.Clone(fewer.Metrics), func(m simulate.Metric) bool { return m.Name == "/fs/opens" })
	l.found, l.err = registrationOf(&fewer), nil
	l.found.Printed = true
	n.expectReason(n.page(), "registration_mismatch") // the simulated sandbox is a single program
	s := n.collector.table.sorted[0]
	s.build.Sentry.Path = "/usr/bin/gvisor-bin/gvisor_sentry"
	n.expectReason(n.page(), "registration_incomplete")
	n.expectReason(n.page(), "registration_incomplete")
	l.found = registrationOf(simulate.RealRegistration())
	n.expectReason(n.page(), "")
}

// TestMismatch: a reply that does not fit a borrowed registration may be an honest one of another
// build. It has a reason of its own, until there is a registration that fits.
func TestMismatch(t *testing.T) {
	l := &library{found: registrationOf(simulate.OtherRegistration())}
	n := newBorrowers(t, l)
	n.start(simulate.Spec{ID: "a", Uninstrumented: true})
	n.expectReason(n.page(), "registration_mismatch")
	n.expectReason(n.page(), "registration_mismatch")
	n.expectLog("reason=registration_mismatch err=\"the registration of its build does not fit: reply refused: ")
	l.found = registrationOf(simulate.RealRegistration())
	page := n.page()
	n.expectReason(page, "")
	n.expect(page, opens, `runsc_fs_opens{sandbox="a"} 51`)
	if asked := len(l.asked); asked != 3 {
		t.Errorf("%d searches, want one for the beginning and for each mismatch", asked)
	}
}

// TestOwnRegistration: a sandbox whose state file gets a registration uses that from then on.
func TestOwnRegistration(t *testing.T) {
	n := newBorrowers(t, &library{found: registrationOf(simulate.OtherRegistration())})
	s := n.start(simulate.Spec{ID: "a", Uninstrumented: true})
	n.expectReason(n.page(), "registration_mismatch")
	n.update(s, func(spec *simulate.Spec) { spec.Uninstrumented = false })
	n.expect(n.page(), opens, `runsc_fs_opens{sandbox="a"} 51`)
}

// TestBuildOfOtherProcess: the program of a process is that of the sandbox only if no other process
// listens on its socket.
func TestBuildOfOtherProcess(t *testing.T) {
	l := &library{found: registrationOf(simulate.RealRegistration())}
	n := newBorrowers(t, l)
	n.start(simulate.Spec{ID: "a", Uninstrumented: true, PID: os.Getppid()})
	n.expectReason(n.page(), "wrong_peer")
	if len(l.asked) != 0 {
		t.Errorf("asked for %+v", l.asked)
	}
}

// TestNewProcess: a new process of a sandbox may be of another build.
func TestNewProcess(t *testing.T) {
	l := &library{found: registrationOf(simulate.RealRegistration())}
	n := newBorrowers(t, l)
	s := n.start(simulate.Spec{ID: "a", Uninstrumented: true})
	n.page()
	n.page()
	for _, pid := range []int{os.Getppid(), os.Getpid()} {
		n.update(s, func(spec *simulate.Spec) { spec.PID = pid })
		n.page()
	}
	if len(l.asked) != 2 {
		t.Errorf("asked for %+v", l.asked)
	}
}
