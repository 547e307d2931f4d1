package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

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

// TestDropsNetAdmin: no thread of a server keeps CAP_NET_ADMIN, every other capability stays, and the
// server works.
func TestDropsNetAdmin(t *testing.T) {
	const none, sysPtrace = "0000000000000000", "0000000000080000"
	check := func(name, capabilities, want string, args func(w *world) []string) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.start("sb", "idle")
			flags := []string{"--no-new-privs", "--inh-caps=-all," + capabilities, "--bounding-set=-all," + capabilities, sandmeter}
			s := w.startProgram(newRun(t, "setpriv", append(flags, args(w)...)...))
			w.scrape().wantRunning(t, []string{"sb"}, []string{"sb"})
			for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
				wantSet := want
				if set == "CapAmb" {
					wantSet = none
				}
				if got := w.capabilitySets(s.Process.Pid, set); len(got) != 1 || got[0] != wantSet {
					t.Errorf("%s of the threads are %q, want only %s", set, got, wantSet)
				}
			}
		})
	}
	serve := func(w *world) []string { return w.serveArgs() }
	dropIn := func(w *world) []string { return w.metricServerArgs() }
	check("serve with only CAP_NET_ADMIN", "+net_admin", none, serve)
	check("metric-server with only CAP_NET_ADMIN", "+net_admin", none, dropIn)
	check("serve with CAP_SYS_PTRACE too", "+net_admin,+sys_ptrace", sysPtrace, serve)
	check("serve without it", "+sys_ptrace", sysPtrace, serve)
}
