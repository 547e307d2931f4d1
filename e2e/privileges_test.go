package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
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

// TestPrivileges: which privileges the server needs, and what the page has without them.
func TestPrivileges(t *testing.T) {
	const nobody = "--reuid=65534 --regid=65534 --clear-groups "
	only := func(caps string) string {
		return fmt.Sprintf("--no-new-privs --inh-caps=-all,%s --ambient-caps=-all,%s --bounding-set=-all,%s ", caps, caps, caps)
	}
	check := func(name, setpriv, wantReason string, wantAbsent ...string) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			dir := t.TempDir()
			w.must(os.Chmod(dir, 0o777))
			w.setAddr(filepath.Join(dir, "metrics.sock"))
			w.startSilent("silent", "idle")
			s := w.startProgram(w.underRestrictions(dir, setpriv, w.serveArgs("--runsc", realRunsc(t))))
			if wantReason == "" {
				w.untilBegun(1)
				p := w.scrape()
				p.wantRunning(t, []string{"silent"}, []string{"silent"}) // it also takes the privileges to run runsc
				if absent := p.labels("sandmeter_sandbox_usage_absent", "reason"); !slices.Equal(absent, wantAbsent) {
					t.Errorf("usage is absent because of %q, want %q", absent, wantAbsent)
				}
				w.start("sb", "idle")
				w.untilBegun(2)
				w.scrape().wantRunning(t, []string{"sb", "silent"}, []string{"sb", "silent"})
				return
			}
			w.start("sb", "idle")
			p := w.scrape()
			p.wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", "sb")
			p.wantFailure(t, "sb", wantReason)
			w.until(func() error {
				if !strings.Contains(s.err.String(), "CAP_DAC_OVERRIDE") {
					return errNot("the log names the privilege")
				}
				return nil
			})
		})
	}
	check("root without capabilities", "--no-new-privs --inh-caps=-all --bounding-set=-all ", "", "cgroup_not_own")
	check("a user with CAP_DAC_OVERRIDE", nobody+only("+dac_override"), "", "cgroup_not_own", "network_unreadable", "sentry_unreadable")
	check("a user with CAP_SYS_PTRACE too", nobody+only("+dac_override,+sys_ptrace"), "", "cgroup_not_own")
	check("a user with CAP_DAC_READ_SEARCH", nobody+only("+dac_read_search"), "permission_denied")
}
