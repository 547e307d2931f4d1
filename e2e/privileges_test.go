package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// underRestrictions returns a program that runs with the flags of setpriv, in a file system that is
// read-only except for one directory.
func (w *world) underRestrictions(writable, setpriv string, args []string) *program {
	const script = `mount --make-rprivate / && mount --bind "$1" "$1" && mount -o remount,bind,ro / &&
		mount --bind "$2" "$2" && mount -o remount,bind,ro "$2" && shift 2 && exec "$@"`
	command := []string{"-m", "sh", "-c", script, "sh", writable, w.root, "setpriv"}
	command = append(command, strings.Fields(setpriv)...)
	command = append(command, sandmeter)
	return newRun(w.t, "unshare", append(command, args...)...)
}

// TestPrivileges: which privileges the server needs, and what the page has without them. No thread keeps
// CAP_NET_ADMIN, and every other capability stays.
func TestPrivileges(t *testing.T) {
	const (
		nobody = "--reuid=65534 --regid=65534 --clear-groups "

		none        = "0000000000000000"
		dacOverride = "0000000000000002"
		both        = "0000000000080002" // with CAP_SYS_PTRACE
	)
	only := func(caps string) string {
		return fmt.Sprintf("--no-new-privs --inh-caps=-all,%s --ambient-caps=-all,%s --bounding-set=-all,%s ", caps, caps, caps)
	}
	w := newWorld(t)
	w.start("sb", "idle")
	w.startSilent("silent", "idle") // it also takes the privileges to run runsc
	check := func(name, setpriv, wantSet, wantReason string, wantAbsent ...string) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w := &world{t: t, root: w.root}
			w.must(os.Chmod(dir, 0o777))
			w.setAddr(filepath.Join(dir, "metrics.sock"))
			s := w.startProgram(w.underRestrictions(dir, setpriv, w.serveArgs("--runsc", realRunsc(t))))
			if wantReason != "" {
				w.scrape().wantFailure(t, "sb", wantReason)
				w.until(func() error {
					if !strings.Contains(s.err.String(), "CAP_DAC_OVERRIDE") {
						return errNot("the log names the privilege")
					}
					return nil
				})
				return
			}
			w.untilBegun(2)
			p := w.scrape()
			p.wantRunning(t, []string{"sb", "silent"}, []string{"sb", "silent"})
			absent := slices.Compact(p.labels("sandmeter_sandbox_usage_absent", "reason"))
			if !slices.Equal(absent, wantAbsent) {
				t.Errorf("usage is absent because of %q, want %q", absent, wantAbsent)
			}
			for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
				if got := w.capabilitySets(s.Process.Pid, set); len(got) != 1 || got[0] != wantSet {
					t.Errorf("%s of the threads are %q, want only %s", set, got, wantSet)
				}
			}
		})
	}
	check("root without capabilities", "--no-new-privs --inh-caps=-all --bounding-set=-all ", none, "", "cgroup_not_own")
	check("root with CAP_NET_ADMIN", "--no-new-privs --inh-caps=-all,+net_admin --bounding-set=-all,+net_admin ", none, "", "cgroup_not_own")
	check("a user with CAP_DAC_OVERRIDE", nobody+only("+dac_override"), dacOverride, "", "cgroup_not_own", "network_unreadable", "sentry_unreadable")
	check("a user with CAP_SYS_PTRACE and CAP_NET_ADMIN too", nobody+only("+dac_override,+sys_ptrace,+net_admin"), both, "", "cgroup_not_own")
	check("a user with CAP_DAC_READ_SEARCH", nobody+only("+dac_read_search"), none, "permission_denied")
}

// capabilitySets returns the distinct lines of all threads of a process about a capability set.
func (w *world) capabilitySets(pid int, name string) []string {
	w.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	w.must(err)
	var sets []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has exited
		}
		_, rest, _ := strings.Cut(string(text), "\n"+name+":\t")
		set, _, _ := strings.Cut(rest, "\n")
		sets = append(sets, set)
	}
	slices.Sort(sets)
	return slices.Compact(sets)
}

// TestOtherPIDNamespace: a server in its own PID namespace cannot see the processes of sandboxes.
// The listeners of the control sockets show which sandboxes run, and their release which registration is
// that of a sandbox without one.
func TestOtherPIDNamespace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("a", "idle")
	w.startSilent("b", "idle")
	p := withPath(newProgram(t, w.serveArgs()...), filepath.Dir(realRunsc(t)))
	p.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	s := w.startProgram(p)
	w.untilBegun(2)
	w.scrape().wantRunning(t, []string{"a", "b"}, []string{"a", "b"})
	pid, err := w.node.Pid("a")
	w.must(err)
	w.must(unix.Kill(pid, unix.SIGKILL))
	w.untilValue(0, "runsc_meta_sandbox_running", "sandbox", "a")
	w.scrape().wantRunning(t, []string{"b"}, []string{"a", "b"})
	if n := strings.Count(s.err.String(), "hostPID: true"); n != 1 {
		t.Errorf("the log says %d times what is wrong:\n%s", n, &s.err)
	}
}
