package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/runsc"
)

// A lastRecord is a line of --final-records, as far as tests read it.
type lastRecord struct {
	ID              string
	Outcome         string
	ExitCode        *int     `json:"exit_code"`
	Signal          *int     `json:"signal"`
	Lifetime        float64  `json:"lifetime_seconds"`
	CPU             *float64 `json:"cpu_seconds"`
	MemoryPeak      float64  `json:"memory_peak_bytes"`
	OOMKills        float64  `json:"oom_kills"`
	UsageComplete   bool     `json:"usage_complete"`
	MetricsComplete bool     `json:"metrics_complete"`
	MetricsSource   string   `json:"metrics_source"`
	Metrics         map[string]json.RawMessage
}

// outcome returns the outcome, and the exit status and the signal if there are any.
func (r lastRecord) outcome() string {
	text := r.Outcome
	if r.ExitCode != nil {
		text += fmt.Sprint(" status ", *r.ExitCode)
	}
	if r.Signal != nil {
		text += fmt.Sprint(" signal ", *r.Signal)
	}
	return text
}

// recorded is a world whose server writes final records.
type recorded struct {
	*world
	file string
}

// record starts a server that writes final records to a directory.
func (w *world) record(dir string, flags ...string) *recorded {
	w.t.Helper()
	return w.recordWithout(nil, dir, flags...)
}

// recordWithout is record with a server that lacks features of the kernel.
func (w *world) recordWithout(missing []feature, dir string, flags ...string) *recorded {
	w.t.Helper()
	r := &recorded{world: w, file: filepath.Join(dir, "records")}
	args := append([]string{"--final-records", r.file, "--totals-by", "none"}, flags...)
	w.startProgram(newProgram(w.t, w.serveArgs(args...)...).without(missing...))
	return r
}

// records returns all final records, by sandbox.
func (r *recorded) records() map[string][]lastRecord {
	r.t.Helper()
	all := make(map[string][]lastRecord)
	data, err := os.ReadFile(r.file)
	if !errors.Is(err, fs.ErrNotExist) { // it has been renamed, and there is no record since
		r.must(err)
	}
	for line := range strings.Lines(string(data)) {
		var one lastRecord
		if !strings.HasSuffix(line, "\n") {
			break // it is being written
		}
		r.must(json.Unmarshal([]byte(line), &one))
		all[one.ID] = append(all[one.ID], one)
	}
	return all
}

// untilRecorded waits for the record of a sandbox that has one life.
func (r *recorded) untilRecorded(id string) lastRecord {
	r.t.Helper()
	var found []lastRecord
	r.until(func() error {
		if found = r.records()[id]; len(found) == 0 {
			return fmt.Errorf("%s has no record", id)
		}
		return nil
	})
	return found[0]
}

// outcomeOf returns the labels of an outcome on a page as lastRecord.outcome does.
func outcomeOf(labels map[string]string) string {
	text := labels["outcome"]
	if text == "exited" {
		text += " status 0"
	}
	if code, ok := labels["exit_code"]; ok {
		text += " status " + code
	}
	if signal, ok := labels["signal"]; ok {
		text += " signal " + signal
	}
	return text
}

// wantEnded fails the test unless a sandbox has ended with an outcome, according to its record, the
// page and the JSON API.
func (r *recorded) wantEnded(id string, outcomes ...string) lastRecord {
	r.t.Helper()
	record := r.untilRecorded(id)
	if !slices.Contains(outcomes, record.outcome()) {
		r.t.Errorf("the record of %s has outcome %q, want one of %q", id, record.outcome(), outcomes)
	}
	r.scrape().wantOutcome(r.t, id, record.outcome())
	var document struct {
		Outcome string
		Status  string `json:"query_status"`
	}
	r.must(json.Unmarshal([]byte(r.get("/api/v1/sandboxes/"+id)), &document))
	if document.Outcome != record.Outcome || document.Status != "not_running" {
		r.t.Errorf("the JSON API says of %s: %+v, want outcome %s", id, document, record.Outcome)
	}
	return record
}

// wantOutcome fails the test unless a sandbox has exactly this outcome on the page.
func (p page) wantOutcome(t *testing.T, id, want string) {
	t.Helper()
	found := p.find("sandmeter_sandbox_outcome", "sandbox", id)
	if len(found) != 1 || found[0].value != 1 || outcomeOf(found[0].labels) != want {
		t.Errorf("on the page the outcome of %s is %v, want %s", id, found, want)
	}
	p.wantValue(t, 0, "runsc_meta_sandbox_running", "sandbox", id)
}

// wantTotals fails the test unless the totals count these outcomes, and no others, and each sandbox
// has one record.
func (r *recorded) wantTotals(outcomes map[string]int) {
	r.t.Helper()
	p := r.scrape()
	got := make(map[string]int)
	for _, s := range p.find("sandmeter_sandboxes_ended_total") {
		if s.value > 0 {
			got[s.labels["outcome"]] = int(s.value)
		}
	}
	if !maps.Equal(got, outcomes) {
		r.t.Errorf("totals have %v, want %v", got, outcomes)
	}
	for id, records := range r.records() {
		if len(records) != 1 {
			r.t.Errorf("%s has %d records: %+v", id, len(records), records)
		}
	}
}

// An ending is a way in which a sandbox ends, and its outcome.
type ending struct {
	name     string
	workload []string
	end      func(id string)
	outcomes []string // one of them
	complete bool     // there is a final metrics log
}

// endings returns how sandboxes end that run when the server looks at them. pid returns the PID of a sandbox
// in the test's PID namespace.
func (w *world) endings(pid func(id string) int) []ending {
	idle := func(status string) []string { return []string{"idle", status} }
	signal := func(signal unix.Signal) func(string) {
		return func(id string) { w.must(w.node.Kill(w.ctx(), id, signal)) }
	}
	host := func(signal unix.Signal) func(string) {
		return func(id string) { w.must(unix.Kill(pid(id), signal)) }
	}
	return []ending{
		{"exits-0", idle("0"), signal(unix.SIGTERM), []string{"exited status 0"}, true},
		{"exits-3", idle("3"), signal(unix.SIGTERM), []string{"failed status 3"}, true},
		{"exits-137", idle("137"), signal(unix.SIGTERM), []string{"failed status 137"}, true},
		{"runsc-kill", idle("0"), signal(unix.SIGKILL), []string{"failed status 137"}, true},
		{"host-kill-9", idle("0"), host(unix.SIGKILL), []string{"killed signal 9"}, false},
		// The sentry forwards it to the workload.
		{"host-kill-15", idle("143"), host(unix.SIGTERM), []string{"failed status 143"}, true},
		{"checkpoint", idle("0"), func(id string) {
			_, err := w.node.Checkpoint(w.ctx(), id)
			w.must(err)
		}, []string{"exited status 0"}, true},
		// runsc kills the workload, and then what is left of the sandbox.
		{"delete-force", idle("0"), func(id string) { w.remove(id) }, []string{"failed status 137", "killed signal 9"}, false},
	}
}

// TestOutcomes: how real sandboxes ended, as the page, totals, the JSON API and records say, with the
// last values of each. Nothing changes when the processes are reaped and the sandboxes deleted.
func TestOutcomes(t *testing.T) {
	w := newWorld(t)
	logs := filepath.Join(w.node.Dir(), "final", "%ID%.prom")
	w.must(os.Mkdir(filepath.Dir(logs), 0o755))
	r := w.record(w.node.Dir(), "--final-metrics-log", logs)
	container := func(name string, workload ...string) runsc.Container {
		c := w.container(usageID(name), workload...)
		c.Cgroup, c.Flags = true, []string{"--final-metrics-log=" + logs}
		return c
	}
	endings := w.endings(w.pid)
	for _, e := range endings {
		w.must(w.node.Run(w.ctx(), container(e.name, e.workload...)))
	}
	w.untilBegun(len(endings))
	before := w.scrape()

	outcomes, totals := make(map[string]string), make(map[string]int)
	ended := func(id string, want ...string) lastRecord {
		record := r.wantEnded(id, want...)
		outcomes[id] = record.outcome()
		totals[record.Outcome]++
		// runsc removes the cgroup of a sandbox that it deletes some milliseconds after the end, which a
		// server on a busy machine can miss; the record says so.
		removed := id == usageID("short") || id == usageID("delete-force")
		if record.CPU == nil || record.MemoryPeak < 1<<20 || record.Lifetime <= 0 || !record.UsageComplete && !removed {
			t.Errorf("%s: %+v", id, record)
		}
		return record
	}
	for _, e := range endings {
		id := usageID(e.name)
		e.end(id)
		record := ended(id, e.outcomes...)
		if e.complete && !record.MetricsComplete || len(record.Metrics) == 0 {
			t.Errorf("%s has %d metrics of %q", id, len(record.Metrics), record.MetricsSource)
		}
		if used := before.usageOf(t, id, "sandmeter_sandbox_cpu_seconds_total"); record.CPU == nil || *record.CPU < used {
			t.Errorf("%s used %v s before its end, %v by then", id, used, record.CPU)
		}
	}

	// These end before anybody scrapes.
	oom := container("oom", "use", "0s", "400", "0")
	oom.MemoryLimit = 100 << 20
	w.must(w.node.Run(w.ctx(), oom))
	// Without a signal, the kernel has killed a process of the application rather than the sentry.
	if record := ended(oom.ID, "oom_killed signal 9", "oom_killed"); record.OOMKills < 1 {
		t.Errorf("%v OOM kills", record.OOMKills)
	}
	short := container("short", "exit", "3")
	if err := w.node.RunToEnd(w.ctx(), short); err == nil { // runsc deletes it at once
		t.Error("runsc does not report the exit status")
	}
	ended(short.ID, "failed status 3")
	if r.wantTotals(totals); reap() == 0 {
		t.Error("the zombies were reaped before the test did it")
	}
	for id := range outcomes {
		if id != usageID("delete-force") && id != short.ID {
			w.remove(id)
		}
	}
	p := w.scrape()
	for id, outcome := range outcomes {
		p.wantOutcome(t, id, outcome)
	}
	r.wantTotals(totals)
	p.wantValue(t, float64(len(outcomes)), "sandmeter_sandboxes", "query_status", "not_running")
	p.wantValue(t, 0, "sandmeter_sandboxes", "query_status", "ok")
	p.wantValue(t, 0, "sandmeter_sandboxes", "query_status", "failed")
}

// get returns a document of the server.
func (w *world) get(path string) string {
	w.t.Helper()
	response, err := w.http().Get("http://localhost" + path)
	w.must(err)
	defer response.Body.Close()
	return string(must(io.ReadAll(response.Body))(w.t))
}

// TestDockerOutcomes: how the containers of a Docker daemon ended. Docker reaps and deletes sandboxes
// at once. Each way to learn an exit status is enough alone, and none is needed to know that a sandbox ran
// out of memory.
func TestDockerOutcomes(t *testing.T) {
	t.Parallel()
	d := newDocker(t)
	d.image("local/app:1")
	serve := func(name string, missing ...feature) *recorded {
		dir := filepath.Join(d.dir, name)
		w := &world{t: t, root: d.root()}
		w.must(os.MkdirAll(d.root(), 0o755))
		w.must(os.Mkdir(dir, 0o755))
		w.setAddr(filepath.Join(dir, "socket"))
		return w.recordWithout(missing, dir)
	}
	pidfd, events, neither := serve("pidfd", exitEvents), serve("events", pidfdInfo), serve("neither", pidfdInfo, exitEvents)
	run := func(flags []string, workload ...string) string {
		t.Helper()
		args := append([]string{"run", "--detach", "--runtime=runsc-cgroups"}, flags...)
		return d.run(append(append(args, "local/app:1", "/sandlab", "workload"), workload...)...)
	}
	totals := make(map[string]int)
	check := func(name, id string, outcomes ...string) {
		t.Helper()
		for _, r := range []*recorded{pidfd, events} {
			record := r.wantEnded(id, outcomes...)
			if record.CPU == nil || record.MemoryPeak < 1<<20 || !record.UsageComplete {
				t.Errorf("%s: %+v", name, record)
			}
		}
		totals[pidfd.untilRecorded(id).Outcome]++
	}
	// Their workloads end by themselves, before anybody scrapes, with and without the container.
	check("exit 0", run(nil, "exit"), "exited status 0")
	check("exit 3 --rm", run([]string{"--rm"}, "exit", "3"), "failed status 3")
	oom := run([]string{"--rm", "--memory=100m"}, "use", "0s", "400", "0")
	check("out of memory", oom, "oom_killed signal 9", "oom_killed")
	neither.wantEnded(oom, "oom_killed", "oom_killed signal 9")

	ended := func(name string, end func(id string), outcomes ...string) {
		t.Helper()
		id := run(nil, "idle")
		pidfd.until(func() error {
			if begun := pidfd.scrape().find("runsc_unimplemented_syscalls", "sandbox", id); len(begun) != 1 {
				return errNot("the workload has begun")
			}
			return nil
		})
		end(id)
		check(name, id, outcomes...)
	}
	ended("docker stop", func(id string) { d.run("stop", id) }, "exited status 0")
	ended("docker kill", func(id string) { d.run("kill", id) }, "failed status 137")
	ended("docker rm --force", func(id string) { d.run("rm", "--force", id) }, "failed status 137", "killed signal 9")
	ended("kill -9 of the sandbox", func(id string) {
		pid, err := strconv.Atoi(d.run("inspect", "--format", "{{.State.Pid}}", id))
		d.must(errors.Join(err, unix.Kill(pid, unix.SIGKILL)))
	}, "killed signal 9")
	pidfd.wantTotals(totals)
	events.wantTotals(totals)
}
