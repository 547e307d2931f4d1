package vm

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// A record is a line of --final-records, as far as this test reads it.
type record struct {
	ID       string
	Outcome  string
	ExitCode *int     `json:"exit_code"`
	Signal   *int     `json:"signal"`
	OOMScope *string  `json:"oom_scope"`
	CPU      *float64 `json:"cpu_seconds"`
	OOMKills *float64 `json:"oom_kills"`
	Peak     *float64 `json:"memory_peak_bytes"`
	Complete bool     `json:"usage_complete"`
	Source   string   `json:"metrics_source"`
}

// outcome returns the outcome, and the exit status, the signal and the scope if there are any.
func (r record) outcome() string {
	text := r.Outcome
	if r.ExitCode != nil {
		text += fmt.Sprint(" status ", *r.ExitCode)
	}
	if r.Signal != nil {
		text += fmt.Sprint(" signal ", *r.Signal)
	}
	if r.OOMScope != nil {
		text += " scope " + *r.OOMScope
	}
	return text
}

// An end is a line of the program guest: an end and the last reading of the sandbox's cgroup.
type end struct {
	Kind, ID string
	CPU      *float64 `json:"cpu_seconds"`
	OOMKills *float64 `json:"oom_kills"`
	Peak     *float64 `json:"memory_peak_bytes"`
	Readings int
}

// kinds has each kind of end and the outcomes that are right. The kernel may kill the sandbox that is
// out of memory, or a process in which it runs the application.
var kinds = []struct {
	name     string
	outcomes []string
}{
	{"exit-0", []string{"exited status 0"}},
	{"exit-3", []string{"failed status 3"}},
	{"oom", []string{"oom_killed signal 9 scope sandbox", "oom_killed scope sandbox"}},
	{"kill-9", []string{"killed signal 9"}},
	{"kill", []string{"failed status 137"}},
	{"stop", []string{"failed status 143"}},
	{"rm", []string{"failed status 137"}},
}

// endsUnseen ends containers that no scrape has seen.
func (m *machine) endsUnseen() {
	if *few {
		m.wantComplete(m.ends("docker", 1), 1)
		return
	}
	m.incomplete = m.ends("docker", *each)
}

// endsScraped ends containers while something scrapes the server.
func (m *machine) endsScraped() {
	m.sh("systemd-run --quiet --unit scraper sh -c 'while :; do curl -fsS -o /dev/null " + m.address + "/metrics; sleep 2; done'")
	defer m.sh("systemctl stop scraper")
	m.wantComplete(m.incomplete+m.ends("docker", *each), max(1, 2**each/3))
}

// wantComplete fails the test if more ends than that have incomplete figures. systemd removes a cgroup as soon
// as it is empty, so the last reading is a race, in which the packaged unit may lose 2 of 42.
func (m *machine) wantComplete(incomplete, most int) {
	m.t.Helper()
	m.t.Logf("%d incomplete", incomplete)
	if *served == "unit" && incomplete > most {
		m.t.Errorf("the figures of %d records are incomplete", incomplete)
	}
}

// ends ends a container of each kind at a time, and fails the test unless the records are right. It returns
// how many have incomplete figures.
func (m *machine) ends(engine string, rounds int) (incomplete int) {
	m.t.Helper()
	var names []string
	for _, kind := range kinds {
		names = append(names, kind.name)
	}
	for range rounds {
		var ends []end
		for line := range strings.Lines(m.sh("/sandmeter/guest ends -engine " + engine + " " + strings.Join(names, " "))) {
			var one end
			m.must(json.Unmarshal([]byte(line), &one))
			ends = append(ends, one)
		}
		records := m.records(ends)
		for _, one := range ends {
			r := records[one.ID]
			incomplete += m.judge(one, r)
			// Once the server has the registration, it can verify the final log of a sandbox.
			if byItself := r.ExitCode != nil; engine == "docker" && m.stays != "" && byItself && r.Source != "final_metrics_log" {
				m.t.Errorf("%s: the metrics are from %s, not from the final log", one.Kind, r.Source)
			}
		}
	}
	return incomplete
}

// records waits for one record of each sandbox.
func (m *machine) records(ends []end) map[string]record {
	m.t.Helper()
	var found map[string]record
	m.retry("records", func() error {
		found = make(map[string]record)
		for line := range strings.Lines(m.sh("cat /var/log/sandmeter/records")) {
			var one record
			m.must(json.Unmarshal([]byte(line), &one))
			if _, twice := found[one.ID]; twice {
				m.t.Fatalf("two records of %s", one.ID)
			}
			found[one.ID] = one
		}
		for _, one := range ends {
			if _, ok := found[one.ID]; !ok {
				return fmt.Errorf("no record of %s %s", one.Kind, one.ID)
			}
		}
		return nil
	})
	return found
}

// judge fails the test unless a record agrees with the end, and returns 1 if its figures are
// incomplete.
func (m *machine) judge(e end, r record) (incomplete int) {
	m.t.Helper()
	for _, kind := range kinds {
		if kind.name == e.Kind && !slices.Contains(kind.outcomes, r.outcome()) && !m.excused(e, r) {
			m.t.Errorf("%s: the outcome is %s, want one of %q", e.Kind, r.outcome(), kind.outcomes)
		}
	}
	got := fmt.Sprintf("the record has CPU time %s, OOM kills %s, the cgroup had %s and %s in the last of %d readings",
		figure(r.CPU), figure(r.OOMKills), figure(e.CPU), figure(e.OOMKills), e.Readings)
	m.t.Logf("%s: %s, complete: %v; %s", e.Kind, r.outcome(), r.Complete, got)
	if !r.Complete {
		return 1
	}
	if r.CPU == nil || r.OOMKills == nil || e.CPU == nil || e.OOMKills == nil || *r.OOMKills != *e.OOMKills ||
		math.Abs(*r.CPU-*e.CPU) > max(0.02, *e.CPU/20) {
		m.t.Errorf("%s: %s", e.Kind, got)
	}
	return 0
}

// excused tells whether an outcome is right though it is not the usual one.
func (m *machine) excused(e end, r record) bool {
	switch r.outcome() {
	case "unknown": // a server in a network of its own learns nothing of a process that was reaped at once, except from its cgroup
		return *served == "chart" && e.Kind != "oom"
	case "killed signal 9": // Docker kills the sandbox instead of its program if that takes more than ten seconds
		_, err := m.try("journalctl --unit docker --no-pager | grep 'direct SIGKILL' | grep -q " + e.ID)
		return err == nil
	}
	return false
}

func figure(value *float64) string {
	if value == nil {
		return "none"
	}
	return fmt.Sprint(*value)
}
