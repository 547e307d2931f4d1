package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/state"
)

// listed is a sandbox in the output of list. Scripts parse its JSON, so its fields are stable.
type listed struct {
	ID           string    `json:"id"`
	Iteration    string    `json:"iteration"`
	Pod          string    `json:"pod_name"`
	Namespace    string    `json:"namespace_name"`
	State        string    `json:"state"`
	Running      bool      `json:"running"`
	PID          int       `json:"pid"`
	Containers   int       `json:"containers"`
	CreatedAt    time.Time `json:"created_at"`
	MetricServer string    `json:"metric_server"`
	Instrumented bool      `json:"instrumented"`
}

func newListCommand(std cli.Stdio) *cobra.Command {
	rootDir, asJSON, whole := config.DefaultRootDir(), false, false
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the sandboxes of a runtime root",
		Long: "List the sandboxes of a runtime root, including those without metrics. The command reads state files and does not query\n" +
			"sandboxes. If it cannot read a state file, it lists the other sandboxes and exits with status 1.\n\n" +
			"If the terminal is too narrow for the table, IDs are shortened to unique prefixes, which other commands accept, other\n" +
			"texts are cut, and columns are left out.",
		Example: "  sandmeter list --root /run/containerd/runsc/k8s.io\n" +
			"  sandmeter list --no-trunc\n" +
			"  sandmeter list --json",
		Args:    cobra.NoArgs,
		PreRunE: func(cmd *cobra.Command, _ []string) error { return cli.FromEnv(cmd.Flags()) },
		RunE: func(*cobra.Command, []string) error {
			width := cli.TerminalWidth(std.Out)
			if whole {
				width = 0
			}
			return list(rootDir, asJSON, width, std)
		},
	}
	cli.RegisterRoot(cmd, &rootDir, "Runtime root: the `directory` of runsc's state files.")
	cmd.Flags().BoolVar(&asJSON, "json", false, "Write a JSON array instead of a table.")
	cmd.Flags().BoolVar(&whole, "no-trunc", false, "Do not fit the table to the terminal.")
	return cmd
}

// list writes the sandboxes, and returns an error if the list may be incomplete. A table fits a
// terminal of width columns, unless width is 0.
func list(rootDir string, asJSON bool, width int, std cli.Stdio) error {
	listing, err := state.NewRoot(rootDir).List()
	if err != nil {
		return explainRoot(err, "")
	}
	for _, e := range listing.Errors {
		fmt.Fprintf(std.Err, "sandmeter: %v\n", e)
	}
	sandboxes := make([]listed, 0, len(listing.Sandboxes))
	for _, s := range listing.Sandboxes {
		sandboxes = append(sandboxes, describe(s, rootDir))
	}
	switch unread := unreadError(rootDir, listing.Errors); {
	case asJSON:
		return errors.Join(writeJSON(std.Out, sandboxes), unread)
	case len(sandboxes) > 0:
		return errors.Join(writeList(std.Out, sandboxes, width), unread)
	case unread != nil:
		return unread
	}
	fmt.Fprintf(std.Err, "No sandboxes in %s.\n", rootDir)
	return nil
}

// unreadError returns the error of an incomplete list, nil if it is complete.
func unreadError(rootDir string, errs []*state.FileError) error {
	if len(errs) == 0 {
		return nil
	}
	files := "1 state file"
	if len(errs) > 1 {
		files = fmt.Sprintf("%d state files", len(errs))
	}
	advice := "their sandboxes may be missing from the list"
	for _, e := range errs {
		advice = cmp.Or(cli.PermissionAdvice(e), advice)
	}
	return fmt.Errorf("%s in %s could not be read: %s", files, rootDir, advice)
}

func describe(s *state.Sandbox, rootDir string) listed {
	l := listed{
		ID:           s.ID,
		Iteration:    state.Iteration(s.ID, s.CreatedAt),
		Pod:          s.PodName,
		Namespace:    s.Namespace,
		State:        s.Status,
		Running:      collect.Running(s, rootDir),
		PID:          s.PID,
		Containers:   len(s.Containers),
		CreatedAt:    s.CreatedAt,
		MetricServer: s.MetricServer,
		Instrumented: s.Registration != nil,
	}
	if !l.Running {
		// The state file has the status "running" until the sandbox is deleted.
		l.State = state.StatusStopped
	}
	return l
}

// minListWidth is the width to which long texts are cut before columns are left out.
const minListWidth = 16

// listColumns has the columns in the order of the cells that listCells returns.
var listColumns = []cli.Column{
	{Title: "SANDBOX"},
	{Title: "NAMESPACE", MinWidth: minListWidth, Optional: 3},
	{Title: "POD", MinWidth: minListWidth, Optional: 2},
	{Title: "STATE", MinWidth: minListWidth, Optional: 1},
	{Title: "PID", Optional: 5},
	{Title: "CONTAINERS", Optional: 7},
	{Title: "CREATED (UTC)", Optional: 6},
	{Title: "METRIC SERVER", MinWidth: minListWidth, Optional: 4},
}

func listCells(s listed) []string {
	return []string{s.ID, cli.Cell(s.Namespace), cli.Cell(s.Pod), cli.Cell(s.State), strconv.Itoa(s.PID), strconv.Itoa(s.Containers),
		s.CreatedAt.UTC().Format(time.DateTime), metricServerCell(s)}
}

// writeList writes a table. It fits a terminal of width columns, unless width is 0.
func writeList(out io.Writer, sandboxes []listed, width int) error {
	table := cli.Table{Columns: listColumns}
	for _, s := range sandboxes {
		table.Rows = append(table.Rows, listCells(s))
	}
	if width > 0 && table.Width() > width {
		shortenIDs(table.Rows)
	}
	_, err := io.WriteString(out, strings.Join(table.Lines(width), "\n")+"\n")
	return err
}

// minIDLength is the length to which IDs are cut if they still differ, the same as Docker's.
const minIDLength = 12

// shortenIDs cuts the IDs in the first cells of rows to the shortest length at which they differ.
func shortenIDs(rows [][]string) {
	for length := minIDLength; ; length++ {
		short := make(map[string]bool)
		for _, row := range rows {
			short[row[0][:min(length, len(row[0]))]] = true
		}
		if len(short) == len(rows) {
			for _, row := range rows {
				row[0] = row[0][:min(length, len(row[0]))]
			}
			return
		}
	}
}

// metricServerCell returns the address, and marks sandboxes that registered no metrics.
func metricServerCell(s listed) string {
	address := cli.Cell(s.MetricServer)
	if s.Instrumented {
		return address
	}
	if s.MetricServer == "" {
		address = "none"
	}
	return address + " (not instrumented)"
}

// printable escapes characters that are not printable, except for a newline at the end.
func printable(line string) string {
	text, isLine := strings.CutSuffix(line, "\n")
	if strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
		quoted := strconv.Quote(text)
		text = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(quoted[1 : len(quoted)-1])
	}
	if isLine {
		text += "\n"
	}
	return text
}

// writeJSON writes JSON with all non-printable characters escaped, more than JSON requires, so that
// it is safe on a terminal.
func writeJSON(out io.Writer, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	escaped := make([]byte, 0, len(text)+1)
	for _, r := range string(text) {
		if unicode.IsPrint(r) || r == '\n' {
			escaped = utf8.AppendRune(escaped, r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			escaped = fmt.Appendf(escaped, `\u%04x`, unit)
		}
	}
	_, err = out.Write(append(escaped, '\n'))
	return err
}
