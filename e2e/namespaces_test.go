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
// server outside of it. Usage, ends and records of 20 sandboxes are right, whatever becomes of other
// processes that have the same PIDs here.
func TestNestedPIDNamespace(t *testing.T) {
	ns := newPIDNamespace(t)
	w := newWorldWith(t, runsc.Config{Runsc: ns.runsc(), Program: sandlab, Flags: runsc.ReleaseFlags(realRunsc(t))})
	const sandboxes, first, apart = 20, 20000, 40 // PIDs that only sandboxes of the test have
	endings := w.nestedEndings()
	pids := make(map[string]int)
	for i := range sandboxes {
		c := w.container(fmt.Sprint("busy-", i), "busy", "2ms")
		if i < len(endings) {
			c = endings[i].container
		}
		ns.setNext(first + i*apart)
		w.must(w.node.Run(w.ctx(), c))
		pid, err := w.node.Pid(c.ID)
		w.must(err)
		pids[c.ID] = pid
	}

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
			if ended := endingOf(endings, id); ended != nil && ended.container.Cgroup {
				if p.usageOf(t, id, "sandmeter_sandbox_cpu_seconds_total") <= 0 {
					t.Errorf("%s: the cgroup of %s has used no CPU time", what, id)
				}
				continue
			}
			used, after := 100*p.usageOf(t, id, "sandmeter_sentry_cpu_seconds_total"), ns.cpuTicks(pid)
			if used < before[id]-2 || used > after+2 {
				t.Errorf("%s: the sentry of %s has used %.1f ticks, want %.0f to %.0f", what, id, used, before[id], after)
			}
		}
	}
	r := w.record(w.node.Dir())
	w.untilBegun(sandboxes)
	measured("alone")
	var ends []func()
	for _, pid := range pids {
		if unix.Kill(pid, 0) != nil {
			ends = append(ends, impostor(t, pid))
		}
	}
	measured("beside processes with the same PIDs")
	for _, end := range ends[:len(ends)/2] {
		end()
	}
	measured("after the end of such processes")

	// A server that sees the other processes at first sight.
	later := &world{t: t, root: w.root, node: w.node}
	later.setAddr(filepath.Join(w.node.Dir(), "later.sock"))
	other := later.record(t.TempDir())
	later.untilBegun(sandboxes)
	measured("beside another server")
	for _, end := range ends {
		end()
	}
	measured("after the end of all such processes")
	later.scrape().wantValue(t, 0, "sandmeter_sandboxes", "query_status", "not_running")
	if records := r.records(); len(records) != 0 || len(other.records()) != 0 {
		t.Errorf("the records are %v and %v", records, other.records())
	}

	d := w.doctor("--address", w.addr)
	d.lacks("other_pid_namespace", "sandbox_not_served", "sandbox_failed", "sandbox_orphaned")
	if strings.Contains(d.text, "identity_unproven") {
		t.Errorf("processes are not proven:\n%s", d.text)
	}
	if s, _ := d.sandbox("busy-19"); s.QueryStatus != "ok" {
		t.Errorf("doctor says %+v", s)
	}
	if listed := w.command("list", "--root", w.root); strings.Contains(listed, "stopped") || strings.Count(listed, "running") != sandboxes {
		t.Errorf("the list is\n%s", listed)
	}

	for _, e := range endings {
		e.end(e.container.ID)
		for _, r := range []*recorded{r, other} {
			record := r.wantEnded(e.container.ID, e.outcomes...)
			if e.container.Cgroup && (record.CPU == nil || *record.CPU <= 0) {
				t.Errorf("%s: %+v", e.container.ID, record)
			}
		}
		delete(pids, e.container.ID)
	}
	oom := w.container(usageID("nested-oom"), "use", "0s", "400", "0")
	oom.Cgroup, oom.MemoryLimit = true, 100<<20
	w.must(w.node.Run(w.ctx(), oom))
	for _, r := range []*recorded{r, other} {
		if record := r.wantEnded(oom.ID, "oom_killed signal 9", "oom_killed"); record.OOMKills < 1 {
			t.Errorf("%v OOM kills", record.OOMKills)
		}
	}
	measured("after the ends of others")
}

// A nestedEnding is a way in which a sandbox ends.
type nestedEnding struct {
	container runsc.Container
	end       func(id string)
	outcomes  []string
}

// nestedEndings returns a way for each kind of end. Every other sandbox has a cgroup of its own.
func (w *world) nestedEndings() []nestedEnding {
	var endings []nestedEnding
	add := func(name string, workload []string, end func(id string), outcomes ...string) {
		c := w.container(usageID(name), workload...)
		c.Cgroup = len(endings)%2 == 0
		endings = append(endings, nestedEnding{c, end, outcomes})
	}
	signal := func(signal unix.Signal) func(string) {
		return func(id string) { w.must(w.node.Kill(w.ctx(), id, signal)) }
	}
	host := func(signal unix.Signal) func(string) {
		return func(id string) { w.must(syscall.Kill(w.hostPID(id), signal)) }
	}
	idle := func(status string) []string { return []string{"idle", status} }
	add("nested-exit-0", idle("0"), signal(unix.SIGTERM), "exited status 0")
	add("nested-exit-3", idle("3"), signal(unix.SIGTERM), "failed status 3")
	add("nested-kill", idle("0"), signal(unix.SIGKILL), "failed status 137")
	add("nested-host-9", idle("0"), host(unix.SIGKILL), "killed signal 9")
	add("nested-host-15", idle("143"), host(unix.SIGTERM), "failed status 143")
	add("nested-delete", idle("0"), func(id string) {
		w.must(w.node.Delete(w.ctx(), id))
	}, "failed status 137", "killed signal 9")
	return endings
}

// endingOf returns the ending of a sandbox, or nil.
func endingOf(endings []nestedEnding, id string) *nestedEnding {
	for i := range endings {
		if endings[i].container.ID == id {
			return &endings[i]
		}
	}
	return nil
}
