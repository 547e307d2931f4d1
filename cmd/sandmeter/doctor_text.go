package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/doctor"
)

// doctorText writes a report for people.
type doctorText struct {
	out    io.Writer
	width  int // of the terminal; 0: lines are not wrapped
	colors bool
	ids    map[string]string // short forms of IDs
	names  map[string]string // of pods, by ID
	err    error             // the first one
}

func newDoctorText(out io.Writer) *doctorText {
	width := cli.TerminalWidth(out)
	return &doctorText{out: out, width: width, colors: width > 0 && os.Getenv("NO_COLOR") == ""}
}

// Limits of the text, of which --json has none.
const (
	maxSandboxRows = 20
	maxNames       = 5
)

// Widths of the first columns.
const (
	levelWidth = len("problem  ")
	checkWidth = len("final_metrics_log  ")
)

// write writes the sandboxes, then the results of the checks, and then a summary, which a terminal
// still shows if the text is long.
func (t *doctorText) write(o *doctor.Observed, report *doctor.Report) error {
	t.nameSandboxes(o)
	t.sandboxes(o)
	for i := range report.Results {
		t.result(&report.Results[i])
	}
	t.line("")
	if report.Level != doctor.OK {
		t.line("See " + doctorDocs)
	}
	t.line(t.colored(report.Level, summaryOf(report)))
	return t.err
}

// doctorDocs describes all checks and causes.
const doctorDocs = "https://github.com/sandmeter/sandmeter/blob/main/docs/doctor.md"

// summaryOf returns the last line.
func summaryOf(r *doctor.Report) string {
	plural := func(n int, noun string) string {
		if n != 1 {
			noun += "s"
		}
		return fmt.Sprintf("%d %s", n, noun)
	}
	if r.Level == doctor.OK {
		return "No problems."
	}
	return plural(r.Problems, "problem") + ", " + plural(r.Warnings, "warning") + "."
}

func (t *doctorText) line(text string) {
	if t.err == nil {
		_, t.err = io.WriteString(t.out, strings.TrimRight(text, " ")+"\n")
	}
}

// colored gives a text the color of a level.
func (t *doctorText) colored(level doctor.Level, text string) string {
	if !t.colors {
		return text
	}
	color := map[doctor.Level]string{doctor.OK: "32", doctor.Warning: "33", doctor.Problem: "31;1"}[level]
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// nameSandboxes makes short names of all sandboxes.
func (t *doctorText) nameSandboxes(o *doctor.Observed) {
	t.ids, t.names = make(map[string]string), make(map[string]string)
	var rows [][]string
	for i := range o.Sandboxes {
		s := &o.Sandboxes[i]
		rows = append(rows, []string{s.ID})
		if s.Pod != "" || s.Namespace != "" {
			t.names[s.ID] = cli.Cell(s.Namespace) + "/" + cli.Cell(s.Pod)
		}
	}
	shortenIDs(rows)
	for i, row := range rows {
		t.ids[o.Sandboxes[i].ID] = row[0]
	}
}

var doctorColumns = []cli.Column{
	{Title: "SANDBOX"},
	{Title: "NAMESPACE", MinWidth: minListWidth, Optional: 3},
	{Title: "POD", MinWidth: minListWidth, Optional: 2},
	{Title: "PID", Optional: 5},
	{Title: "METRICS", MinWidth: minListWidth},
	{Title: "ON SERVER", MinWidth: minListWidth},
	{Title: "RUNTIME ROOT", MinWidth: minListWidth, Optional: 4},
}

// A sandboxRow is a sandbox in the table, with the results of the queries of this program and of
// the servers.
type sandboxRow struct {
	sandbox     *doctor.Sandbox
	here, there string
}

// rank orders rows: first the running sandboxes that lack metrics, here or on a server.
func (r *sandboxRow) rank() int {
	switch {
	case !r.sandbox.Running:
		return 2
	case r.here == doctor.StatusOK && (r.there == doctor.StatusOK || r.there == noServer):
		return 1
	}
	return 0
}

// noServer is in the table if there is no server to compare with.
const noServer = "-"

// sandboxes writes a table of sandboxes, those without metrics first.
func (t *doctorText) sandboxes(o *doctor.Observed) {
	if len(o.Sandboxes) == 0 {
		return
	}
	onServers := doctor.OnServers(o)
	rows := make([]sandboxRow, 0, len(o.Sandboxes))
	for i := range o.Sandboxes {
		s := &o.Sandboxes[i]
		rows = append(rows, sandboxRow{s, metricsWord(s.Status, s.Reason), servedWord(onServers(s))})
	}
	slices.SortStableFunc(rows, func(a, b sandboxRow) int { return cmp.Compare(a.rank(), b.rank()) })
	more := len(rows) - maxSandboxRows
	table := cli.Table{Columns: doctorColumns}
	for _, r := range rows[:min(len(rows), maxSandboxRows)] {
		s := r.sandbox
		table.Rows = append(table.Rows, []string{t.ids[s.ID], cli.Cell(s.Namespace), cli.Cell(s.Pod), fmt.Sprint(s.PID), r.here, r.there, cli.Cell(s.Root)})
	}
	for _, line := range table.Lines(t.width) {
		t.line(line)
	}
	if more > 0 {
		t.line(fmt.Sprintf("… and %d more; --json has all", more))
	}
	t.line("")
}

// metricsWord returns the result of a query.
func metricsWord(status, reason string) string {
	switch {
	case status == doctor.StatusNotRunning:
		return "not running"
	case reason != "":
		return cli.Cell(reason)
	}
	return cli.Cell(status)
}

// servedWord returns what the servers say of a sandbox: the best, if several serve it.
func servedWord(views []doctor.View) string {
	word := noServer
	for _, view := range views {
		switch served := view.Served; {
		case served == nil:
			if word == noServer {
				word = "not served"
			}
		case served.Hidden != "":
			word = "hidden (" + cli.Cell(served.Hidden) + ")"
		case served.Status == doctor.StatusOK:
			return doctor.StatusOK
		default:
			word = metricsWord(served.Status, served.Reason)
		}
	}
	return word
}

// result writes the result of one check, with its findings below.
func (t *doctorText) result(r *doctor.Result) {
	head := t.colored(r.Level, r.Level.String()) + strings.Repeat(" ", levelWidth-len(r.Level.String())) +
		r.Check + strings.Repeat(" ", checkWidth-len(r.Check))
	t.wrap(head, levelWidth+checkWidth, r.Summary)
	for i := range r.Findings {
		t.finding(&r.Findings[i])
	}
}

func (t *doctorText) finding(f *doctor.Finding) {
	indent := strings.Repeat(" ", levelWidth)
	label := t.colored(f.Level, f.Level.String()+":") + " "
	t.wrap(indent+label, levelWidth+len(f.Level.String())+2, f.What+" ["+f.Cause+"]")
	indent += "  "
	part := func(label, text string) {
		if text != "" {
			t.wrap(indent+label, len(indent)+len(label), text)
		}
	}
	var places []string
	for _, id := range f.Sandboxes {
		name := cmp.Or(t.ids[id], id)
		if pod := t.names[id]; pod != "" {
			name += " (" + pod + ")"
		}
		places = append(places, name)
	}
	part("sandbox: ", enumerate(places))
	part("where:   ", enumerate(f.Where))
	part("why:     ", f.Why)
	part("change:  ", f.Change)
}

// enumerate returns the first texts of a list, and how many more there are.
func enumerate(texts []string) string {
	more := ""
	if n := len(texts) - maxNames; n > 0 {
		texts, more = texts[:maxNames], fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(texts, ", ") + more
}

// wrap writes a text behind a head. Lines that do not fit the terminal continue below the beginning
// of the text. Nothing in the text reaches the terminal raw.
func (t *doctorText) wrap(head string, indent int, text string) {
	line, length := head, indent
	begun := false
	for _, word := range strings.Fields(cli.OneLine(text)) {
		size := utf8.RuneCountInString(word)
		switch {
		case begun && t.width > 0 && length+1+size > t.width:
			t.line(line)
			line, length = strings.Repeat(" ", indent)+word, indent+size
		case begun:
			line += " " + word
			length += 1 + size
		default:
			line += word
			length += size
		}
		begun = true
	}
	t.line(line)
}
