package main

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

func TestWrongUsage(t *testing.T) {
	w := newWorld(t)
	w.must(os.WriteFile(w.path("file"), nil, 0o644))
	w.must(os.WriteFile(w.path("sim-0000_sandbox:sim-0000.state"), nil, 0o644))
	w.fails("simulat", cli.ExitUsage, `unknown command "simulat" for "sandlab"; Did you mean this? simulate; try: sandlab --help`)
	w.fails("simulate --points many", cli.ExitUsage, `--points "many": give a whole number; try: sandlab simulate --help`)
	w.fails("simulate --root {dir}/missing", cli.ExitFail, "open {dir}/missing: no such file or directory; give --root an existing directory")
	w.fails("simulate --root {dir}/file", cli.ExitFail, "open {dir}/file: not a directory; give --root an existing directory")
	w.fails("simulate --root {dir}", cli.ExitFail, "{dir} has simulated sandboxes: stop the program that simulates them, or remove {dir}/*sim-*")
	w.fails("simulate --sandboxes 0", cli.ExitUsage, "--sandboxes 0: must be at least 1")
	w.fails("simulate --points 7", cli.ExitUsage, "--points 7: must be 8 to 170")
	w.fails("simulate --cgroups {dir}", cli.ExitFail, "stat {dir}/cgroup.procs: no such file or directory; give --cgroups the directory of a cgroup, such as one in /sys/fs/cgroup")
	w.fails("node --sandboxes 0", cli.ExitUsage, "--sandboxes 0: must be at least 1")
	w.fails("node --runsc {dir}/missing", cli.ExitFail, "runsc not found at the given path: stat {dir}/missing: no such file or directory")
	w.fails("simulate --churn 1001", cli.ExitUsage, "--churn 1001: must be 0 to 1000")
	w.fails("simulate --churn 5 --two-releases", cli.ExitUsage, "--churn excludes --two-releases")
	w.fails("simulate --sandboxes 3 --sandboxes 4", cli.ExitUsage, `--sandboxes "4": given twice; try: sandlab simulate --help`)
}

// simulates runs a command line until the end of the test, and returns when its sandboxes have
// started. The returned function stops the command and checks its exit code.
func (w *world) simulates(line string) (end func()) {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var outs, errs testkit.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, strings.Fields(strings.ReplaceAll(line, "{dir}", w.dir)), cli.Stdio{Out: &outs, Err: &errs})
	}()
	w.Cleanup(cancel)
	for deadline := time.Now().Add(ample); !strings.HasPrefix(outs.String(), "Simulating "); time.Sleep(time.Millisecond) {
		if len(ended) > 0 || time.Now().After(deadline) {
			w.Fatalf("%s simulates nothing, and says %s", line, errs.String())
		}
	}
	return func() {
		w.Helper()
		cancel()
		if code := <-ended; code != cli.ExitOK {
			w.Errorf("%s exits with %d and says %s", line, code, errs.String())
		}
	}
}

var statePID = regexp.MustCompile(`"pid":(\d+),`)

// processes returns the PIDs in the state files below a directory, by sandbox ID.
func (w *world) processes(dir string) map[string]int {
	w.Helper()
	all := make(map[string]int)
	files, _ := filepath.Glob(filepath.Join(w.path(dir), "*.state"))
	for _, file := range files {
		state, err := os.ReadFile(file)
		w.must(err)
		found := statePID.FindSubmatch(state)
		if found == nil {
			w.Fatalf("%s names no process", file)
		}
		id, _, _ := strings.Cut(filepath.Base(file), "_")
		all[id], _ = strconv.Atoi(string(found[1]))
	}
	return all
}

// TestSimulateProcesses: each sandbox has its own process if wanted, with --cgroups in its own cgroup, and
// nothing is left at the end.
func TestSimulateProcesses(t *testing.T) {
	check := func(flags string, distinct int) {
		t.Helper()
		w := newWorld(t)
		w.must(os.Mkdir(w.path("root"), 0o755))
		w.must(os.Mkdir(w.path("cgroups"), 0o755))
		w.must(os.WriteFile(w.path("cgroups/cgroup.procs"), nil, 0o644)) // as in every cgroup
		end := w.simulates("simulate --sandboxes 3 --root {dir}/root " + flags)
		pids := w.processes("root")
		alive := make(map[int]bool)
		for id, pid := range pids {
			alive[pid] = syscall.Kill(pid, 0) == nil && (pid != os.Getpid() || distinct == 1)
			procs, err := os.ReadFile(w.path("cgroups/" + id + "/cgroup.procs"))
			if cgroups := strings.Contains(flags, "--cgroups"); cgroups != (err == nil) || cgroups && string(procs) != strconv.Itoa(pid) {
				t.Errorf("%s: the cgroup of %s has processes %q, %v, want %d", flags, id, procs, err, pid)
			}
		}
		if len(pids) != 3 || len(alive) != distinct || slices.Contains(slices.Collect(maps.Values(alive)), false) {
			t.Errorf("%s: 3 sandboxes have the processes %v; this one is %d", flags, pids, os.Getpid())
		}
		end()
		wantEmpty(t, w.path("root"))
		w.must(os.Remove(w.path("cgroups/cgroup.procs")))
		wantEmpty(t, w.path("cgroups"))
	}
	check("", 1)
	check("--processes", 3)
	check("--cgroups {dir}/cgroups", 3)
}

// TestSimulateWhereCgroupsAre: cgroups of another program are neither used nor removed.
func TestSimulateWhereCgroupsAre(t *testing.T) {
	w := newWorld(t)
	w.must(os.Mkdir(w.path("root"), 0o755))
	w.must(os.WriteFile(w.path("cgroup.procs"), nil, 0o644))
	w.must(os.Mkdir(w.path("sim-0001"), 0o755))
	w.fails("simulate --root {dir}/root --cgroups {dir}", cli.ExitFail, "simulate sandboxes in {dir}/root: sandbox 1 of 10: mkdir {dir}/sim-0001: file exists; "+
		"remove the cgroups {dir}/sim-* unless another program uses them")
	wantEmpty(t, w.path("root"))
	if left, err := filepath.Glob(w.path("sim-*")); err != nil || len(left) != 1 {
		t.Errorf("the cgroups are %q, %v", left, err)
	}
}
