package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/internal/api"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/doctor"
)

// doctorText writes a report for people.
type doctorText struct {
	out   io.Writer
	width int               // of the terminal; 0: there is none
	names map[string]string // of sandboxes, by ID
	err   error             // the first one
}

func newDoctorText(out io.Writer) *doctorText {
	return &doctorText{out: out, width: cli.TerminalWidth(out), names: make(map[string]string)}
}

// Limits of the text, of which --json has none.
const (
	maxSandboxRows = 20
	maxNames       = 5
)

// doctorDocs describes all causes.
const doctorDocs = "https://github.com/sandmeter/sandmeter/blob/main/docs/doctor.md"

// write writes the servers, the sandboxes, the findings, and then a summary, which a terminal still
// shows if the text is long.
func (t *doctorText) write(r *doctor.Report) error {
	for i := range r.Servers {
		t.server(&r.Servers[i])
	}
	if r.Local != nil && len(r.Servers) == 0 {
		t.line("No server:  ", "this command examined "+rootsOf(r.Local))
	}
	t.sandboxes(r.Sandboxes())
	for i := range r.Findings {
		t.finding(&r.Findings[i])
	}
	if len(r.Ignored) > 0 {
		t.line("Ignored:  ", enumerate(r.Ignored))
	}
	if r.Level == doctor.OK {
		t.line("No problems.", "")
		return t.err
	}
	t.line("See ", doctorDocs)
	t.line(plural(r.Problems, "problem")+", "+plural(r.Warnings, "warning")+".", "")
	return t.err
}

// plural returns a number with its noun.
func plural(n int, noun string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(noun, "x"):
		noun += "es"
	default:
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// line writes a line: a head as it is, and a text of which nothing reaches the terminal raw.
func (t *doctorText) line(head, text string) {
	if t.err == nil {
		_, t.err = io.WriteString(t.out, head+cli.OneLine(text)+"\n")
	}
}

// server writes the runtime roots of a server, and its newest problems.
func (t *doctorText) server(s *doctor.Server) {
	text := s.Address
	if s.PID != 0 {
		text += fmt.Sprintf(" (process %d)", s.PID)
	}
	if s.Status == nil {
		t.line("Server:  ", text+": "+strings.ReplaceAll(string(s.State), "_", " "))
		return
	}
	t.line("Server:  ", text+" serves "+rootsOf(s.Status))
	for _, p := range s.Status.Problems[max(0, len(s.Status.Problems)-maxNames):] {
		t.line("  log:   ", p.Time.UTC().Format(time.DateTime)+" "+p.Level+": "+p.Message+" "+p.Details)
	}
}

// rootsOf returns the runtime roots of a server that exist.
func rootsOf(s *api.Status) string {
	var paths []string
	for _, r := range s.RuntimeRoots {
		if r.State != api.RootMissing {
			paths = append(paths, r.Path)
		}
	}
	return cmp.Or(enumerate(paths), "no runtime root")
}

// sandboxes writes a table of sandboxes, those that run without metrics first.
func (t *doctorText) sandboxes(all []doctor.Sandbox) {
	slices.SortStableFunc(all, func(a, b doctor.Sandbox) int { return rank(&a) - rank(&b) })
	documents := make([]api.Sandbox, len(all))
	for i := range all {
		documents[i] = all[i].Sandbox
	}
	table := servedTable(documents)
	shortenIDs(table.Rows)
	for i := range all {
		s := &all[i]
		t.names[s.ID] = table.Rows[i][0]
		if s.Pod != nil || s.Namespace != nil {
			t.names[s.ID] += " (" + knownCell(s.Namespace) + "/" + knownCell(s.Pod) + ")"
		}
	}
	more := len(all) - maxSandboxRows
	table.Rows = table.Rows[:min(len(all), maxSandboxRows)]
	t.line("", "")
	lines := table.Lines(t.width)
	if len(all) == 0 {
		lines = []string{"No sandboxes."}
	}
	for _, line := range lines {
		t.line(line, "")
	}
	if more > 0 {
		t.line(fmt.Sprintf("… and %d more; --json has all", more), "")
	}
	t.line("", "")
}

// rank orders rows.
func rank(s *doctor.Sandbox) int {
	switch {
	case !s.Runs():
		return 2
	case s.QueryStatus == "ok" && s.Hidden == nil:
		return 1
	}
	return 0
}

func (t *doctorText) finding(f *doctor.Finding) {
	what := f.What
	if n := len(f.Sandboxes); n > 0 {
		what = plural(n, "sandbox") + ": " + what
	}
	t.line(string(f.Level)+": ", what+" ["+f.Cause+"]")
	var sandboxes []string
	for _, id := range f.Sandboxes {
		sandboxes = append(sandboxes, cmp.Or(t.names[id], id))
	}
	for _, part := range [][2]string{{"sandbox", enumerate(sandboxes)}, {"where", enumerate(f.Where)}, {"why", f.Why}, {"change", f.Change}} {
		if part[1] != "" {
			t.line(fmt.Sprintf("  %-9s", part[0]+":"), part[1])
		}
	}
	t.line("", "")
}

// enumerate returns the first texts of a list, and how many more there are.
func enumerate(texts []string) string {
	more := ""
	if n := len(texts) - maxNames; n > 0 {
		texts, more = texts[:maxNames], fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(texts, ", ") + more
}
