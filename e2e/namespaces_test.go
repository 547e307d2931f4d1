package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/runsc"
)

// A pidNamespace is a PID namespace below the test's, like a node in a container.
type pidNamespace struct {
	*testing.T
	init int // its first process, by its PID here
}

func newPIDNamespace(t *testing.T) *pidNamespace {
	t.Helper()
	realRunsc(t) // skips the test if there is none, or if this user may not run it
	holder := exec.Command("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sleep", "infinity")
	holder.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // also if the test is killed
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = holder.Process.Kill() // and so its child, with all processes of the namespace
		_ = holder.Wait()
	})
	ns := &pidNamespace{T: t}
	(&world{t: t}).until(func() error {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", holder.Process.Pid))
		if err == nil {
			ns.init, err = strconv.Atoi(strings.TrimSpace(string(children)))
		}
		if err == nil {
			_, err = os.Stat(ns.proc("1")) // its own proc is mounted
		}
		return err
	})
	return ns
}

// enter are the words of a command line that runs a program in the namespace.
func (ns *pidNamespace) enter() []string {
	return []string{"nsenter", "--target", strconv.Itoa(ns.init), "--pid", "--mount", "--"}
}

// proc returns a path of the namespace's own /proc.
func (ns *pidNamespace) proc(elements ...string) string {
	return filepath.Join(append([]string{fmt.Sprintf("/proc/%d/root/proc", ns.init)}, elements...)...)
}

// runsc returns the path of a program that runs runsc in the namespace.
func (ns *pidNamespace) runsc() string {
	path := filepath.Join(ns.TempDir(), "runsc")
	script := fmt.Sprintf("#!/bin/sh\nexec %s %s \"$@\"\n", strings.Join(ns.enter(), " "), realRunsc(ns.T))
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		ns.Fatal(err)
	}
	return path
}

// setNext makes the next processes of the namespace have the PIDs from pid on.
func (ns *pidNamespace) setNext(pid int) {
	ns.Helper()
	words := append(ns.enter(), "sh", "-c", fmt.Sprintf("echo %d >/proc/sys/kernel/ns_last_pid", pid-2)) // the shell of the next command takes one
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		ns.Fatalf("%v: %s", err, out)
	}
}

// cpuTicks returns the CPU time of a process in hundredths of a second, as the namespace's /proc tells.
func (ns *pidNamespace) cpuTicks(pid int) float64 {
	ns.Helper()
	stat, err := os.ReadFile(ns.proc(strconv.Itoa(pid), "stat"))
	if err != nil {
		ns.Fatal(err)
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	user, userErr := strconv.ParseFloat(string(fields[11]), 64)
	system, systemErr := strconv.ParseFloat(string(fields[12]), 64)
	if userErr != nil || systemErr != nil {
		ns.Fatalf("%s", stat)
	}
	return user + system
}

// An impostor is a process of this namespace that has the PID of a sandbox of another one.
func impostor(t *testing.T, pid int) (end func()) {
	t.Helper()
	const attempts = 1000 // other processes may take the PID
	for range attempts {
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0); err != nil {
			t.Fatal(err)
		}
		process := exec.Command("sleep", "infinity")
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		end := func() {
			_ = process.Process.Kill()
			_ = process.Wait()
		}
		if process.Process.Pid == pid {
			t.Cleanup(end)
			return end
		}
		end()
		if unix.Kill(pid, 0) == nil { // it is somebody else's by now, which will do
			return func() {}
		}
	}
	t.Fatalf("no process could be given the PID %d", pid)
	return nil
}

// hostPID returns the PID of a sandbox here, as the server says.
func (w *world) hostPID(id string) int {
	w.t.Helper()
	var document struct{ PID int }
	w.must(json.Unmarshal([]byte(w.get("/api/v1/sandboxes/"+id)), &document))
	return document.PID
}

// TestNestedPIDNamespace: runsc runs in a PID namespace of its own, as on a node in a container, and the
// server outside of it. Usage, ends and records of 20 sandboxes are right, whatever becomes of other processes
// that have the same PIDs here, before the server starts and later.
func TestNestedPIDNamespace(t *testing.T) {
	ns := newPIDNamespace(t)
	w := newWorldWith(t, runsc.Config{Runsc: ns.runsc(), Program: sandlab, Flags: runsc.ReleaseFlags(realRunsc(t))})
	const sandboxes, first, apart = 20, 20000, 40 // PIDs that only sandboxes of the test have
	endings := w.endings(w.hostPID)
	for i := len(endings); i < sandboxes; i++ {
		endings = append(endings, ending{name: fmt.Sprint("busy-", i), workload: []string{"busy", "2ms"}})
	}
	pids, others := make(map[string]int), []int{}
	for i, e := range endings {
		c := w.container(usageID(e.name), e.workload...)
		c.Cgroup = e.name == "exits-0"
		ns.setNext(first + i*apart)
		w.must(w.node.Run(w.ctx(), c))
		pids[c.ID] = w.pid(c.ID)
		if unix.Kill(pids[c.ID], 0) != nil {
			others = append(others, pids[c.ID])
		}
	}
	var ends []func()
	for _, pid := range others[:len(others)/2] {
		ends = append(ends, impostor(t, pid))
	}
	r := w.record(w.node.Dir())
	w.untilBegun(len(pids))

	// measured compares the figures of all sandboxes with the namespace's own /proc before and after
	// the scrape, to the tick.
	measured := func(what string) {
		t.Helper()
		before := make(map[string]float64)
		for id, pid := range pids {
			before[id] = ns.cpuTicks(pid)
		}
		p := w.scrape()
		for id, pid := range pids {
			p.wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", id)
			p.wantNone(t, "sandmeter_sandbox_outcome", "sandbox", id)
			p.wantNone(t, "runsc_meta_sandbox_failure", "sandbox", id)
			if id == usageID("exits-0") {
				p.usageOf(t, id, "sandmeter_sandbox_cpu_seconds_total")
				continue
			}
			used, after := 100*p.usageOf(t, id, "sandmeter_sentry_cpu_seconds_total"), ns.cpuTicks(pid)
			if used < before[id]-2 || used > after+2 {
				t.Errorf("%s: the sentry of %s has used %.1f ticks, want %.0f to %.0f", what, id, used, before[id], after)
			}
		}
	}
	measured("beside processes with the same PIDs")
	for _, pid := range others[len(others)/2:] {
		ends = append(ends, impostor(t, pid))
	}
	measured("beside more such processes")
	for _, end := range ends {
		end()
	}
	measured("after the end of such processes")
	if records := r.records(); len(records) != 0 {
		t.Errorf("the records are %v", records)
	}
	d := w.doctor("--address", w.addr)
	d.lacks("other_pid_namespace", "sandbox_not_served", "sandbox_failed", "sandbox_orphaned")
	if listed := w.command("list", "--root", w.root); strings.Contains(listed, "stopped") || strings.Count(listed, "running") != len(pids) {
		t.Errorf("the list is\n%s", listed)
	}
	for _, e := range endings {
		if e.end != nil {
			e.end(usageID(e.name))
			r.wantEnded(usageID(e.name), e.outcomes...)
			delete(pids, usageID(e.name))
		}
	}
	measured("after the ends of others")
}
