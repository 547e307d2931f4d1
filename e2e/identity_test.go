package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCopiedStateFile: a state file that was copied to another root, under another ID, has the PID and
// the control socket of the sandbox that it was copied from, and gets none of its figures.
func TestCopiedStateFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("victim", "busy")
	other := filepath.Join(w.node.Dir(), "other")
	w.must(os.Mkdir(other, 0o755))
	text, err := os.ReadFile(filepath.Join(w.root, "victim_sandbox:victim.state"))
	w.must(err)
	copied := func(id string) {
		t.Helper()
		// The socket in the file stays the victim's.
		state := strings.NewReplacer(`"id":"victim"`, `"id":"`+id+`"`, "/runsc-victim.sock", "/runsc-victim.sock").Replace(string(text))
		w.must(os.WriteFile(filepath.Join(other, id+"_sandbox:"+id+".state"), []byte(state), 0o600))
	}
	socket := filepath.Join(w.root, "runsc-victim.sock")
	for _, id := range []string{"copy", "linked", "shared", "victim"} {
		copied(id)
	}
	w.must(os.Symlink(socket, filepath.Join(other, "runsc-linked.sock")))
	w.must(os.Link(socket, filepath.Join(other, "runsc-shared.sock"))) // the same socket by another name
	w.startServer(append(w.serveArgs(), "--root", other))
	p := w.scrape()
	for _, id := range []string{"copy", "linked", "shared", "victim"} {
		root := []string{"sandbox", id, "runtime_root", other}
		if reason := map[string]string{"shared": "wrong_peer", "linked": "unreachable"}[id]; reason != "" {
			p.wantValue(t, 1, "runsc_meta_sandbox_failure", append(root, "reason", reason)...)
			p.wantValue(t, 1, "sandmeter_sandbox_usage_absent", append(root, "reason", "identity_unproven")...)
		} else {
			p.wantValue(t, 0, "runsc_meta_sandbox_running", root...)
		}
		p.wantNone(t, "sandmeter_sentry_cpu_seconds_total", root...)
		p.wantNone(t, "sandmeter_sentry_memory_bytes", root...)
		p.wantNone(t, "runsc_fs_opens", root...)
	}
	victim := []string{"sandbox", "victim", "runtime_root", w.root}
	p.wantValue(t, 1, "runsc_meta_sandbox_running", victim...)
	if used := p.find("sandmeter_sentry_cpu_seconds_total", victim...); len(used) != 1 || used[0].value <= 0 {
		t.Errorf("the victim has used %v", used)
	}
	w.kill("victim")
	w.until(func() error {
		p := w.scrape()
		if found := p.find("sandmeter_sandbox_outcome", append(victim, "outcome", "killed")...); len(found) != 1 {
			return errNot("the victim was killed")
		}
		for _, id := range []string{"copy", "linked", "victim"} {
			p.wantNone(t, "sandmeter_sandbox_outcome", "sandbox", id, "runtime_root", other, "outcome", "killed")
		}
		return nil
	})
}

// TestStoppedAtFirstSight: a sandbox that has stopped accepts no connection once its backlog is full, so
// the server cannot see which process listens. The sandbox runs, and is measured, because all that can be
// seen of its process fits. When it goes on, it has metrics.
func TestStoppedAtFirstSight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("sb", "busy")
	goOn := w.stopSandbox("sb")
	full := false
	for range 1000 {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		w.must(err)
		t.Cleanup(func() { unix.Close(fd) })
		if err = unix.Connect(fd, &unix.SockaddrUnix{Name: filepath.Join(w.root, "runsc-sb.sock")}); err == unix.EAGAIN {
			full = true
			break
		}
		w.must(err)
	}
	if !full {
		t.Fatal("the backlog is never full")
	}
	w.startServer(w.serveArgs("--sandbox-timeout=200ms"))
	p := w.scrape()
	p.wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", "sb")
	p.wantFailure(t, "sb", "stalled")
	if p.usageOf(t, "sb", "sandmeter_sentry_cpu_seconds_total") <= 0 {
		t.Error("it has used no CPU time")
	}
	goOn()
	w.until(func() error {
		if len(w.scrape().find("runsc_fs_opens", "sandbox", "sb")) == 0 {
			return errNot("it has metrics")
		}
		return nil
	})
}
