package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
	socket := filepath.Join(w.root, "runsc-victim.sock")
	for _, id := range []string{"copy", "linked", "shared"} {
		state := strings.ReplaceAll(string(text), `"id":"victim"`, `"id":"`+id+`"`) // the socket in the file stays the victim's
		w.must(os.WriteFile(filepath.Join(other, id+"_sandbox:"+id+".state"), []byte(state), 0o600))
	}
	w.must(os.Symlink(socket, filepath.Join(other, "runsc-linked.sock")))
	w.must(os.Link(socket, filepath.Join(other, "runsc-shared.sock"))) // the same socket by another name
	w.startServer(append(w.serveArgs(), "--root", other))
	p := w.scrape()
	for _, id := range []string{"copy", "linked", "shared"} {
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
		for _, id := range []string{"copy", "linked"} {
			p.wantNone(t, "sandmeter_sandbox_outcome", "sandbox", id, "runtime_root", other, "outcome", "killed")
		}
		return nil
	})
}
