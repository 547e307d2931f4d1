package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/proof"
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

// list lists the sandboxes of a runtime root, or those that a running server serves.
type list struct {
	server     serverFlags
	root       string
	json       bool
	whole      bool
	fromServer bool // list the sandboxes of a server
}

func newListCommand(std cli.Stdio) *cobra.Command {
	l := list{root: config.DefaultRootDir()}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the sandboxes of a runtime root or of a running server",
		Long: "List the sandboxes of a runtime root, including those without metrics. The command reads state files and does not query\n" +
			"sandboxes. If it cannot read a state file, it lists the other sandboxes and exits with status 1.\n\n" +
			"With --address, list the sandboxes of a running server instead, with the results of its queries: ok, failed with the\n" +
			"reason, not running, or hidden with the reason why a sandbox has no series. For a sandbox that has ended, the state tells\n" +
			"how, with its exit status or signal. With --json, this is the server's document /api/v1/sandboxes, in which unknown values\n" +
			"are null. A metric-server has no such document.\n\n" +
			"--address and --root exclude each other. A flag takes precedence over both environment variables. If SANDMETER_ROOT and\n" +
			"SANDMETER_ADDRESS are both set, the command reads state files.\n\n" +
			"If the terminal is too narrow for the table, IDs are shortened to unique prefixes, which other commands accept, other\n" +
			"texts are cut, and columns are left out.",
		Example: "  sandmeter list --root /run/containerd/runsc/k8s.io\n" +
			"  sandmeter list --no-trunc\n" +
			"  sandmeter list --json\n" +
			"  sandmeter list --address /run/sandmeter.sock",
		Args:    cobra.NoArgs,
		PreRunE: func(cmd *cobra.Command, _ []string) error { return l.settle(cmd.Flags()) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			if l.fromServer {
				return l.listServed(cmd.Context(), std)
			}
			return l.listRoot(std)
		},
	}
	cli.Register(cmd, append(l.server.settings(), cli.Root(&l.root, "Runtime root: the directory of runsc's state files."), jsonFlag(&l.json, "a table"),
		config.Setting{Name: "no-trunc", Value: &l.whole, Help: "Do not fit the table to the terminal."})...)
	return cmd
}

// settle sets flags from the environment, and decides between root and server. Variables are
// defaults for all commands, so that two of them are no contradiction: the runtime root applies,
// because other commands use the address.
func (l *list) settle(flags *pflag.FlagSet) error {
	address, root := flags.Changed("address"), flags.Changed("root")
	if address && root {
		return cli.Usagef("--address lists the sandboxes of a server and --root those of a runtime root: leave one of them out")
	}
	configured := flags.Changed(clientConfigFlag)
	if err := cli.FromEnv(flags); err != nil {
		return err
	}
	l.fromServer = address || flags.Changed("address") && !flags.Changed("root")
	if configured && !l.fromServer {
		return cli.Usagef("--%s is for the connection to a server: give its address with --address", clientConfigFlag)
	}
	return nil
}

// width returns the number of columns of the terminal that the table has to fit, or 0.
func (l *list) width(std cli.Stdio) int {
	if l.whole {
		return 0
	}
	return cli.TerminalWidth(std.Out)
}

// listRoot writes the sandboxes of the runtime root, and returns an error if the list may be
// incomplete.
func (l *list) listRoot(std cli.Stdio) error {
	listing, err := state.NewRoot(l.root).List()
	if err != nil {
		return explainRoot(err, "")
	}
	for _, e := range listing.Errors {
		fmt.Fprintf(std.Err, "sandmeter: %v\n", e)
	}
	sandboxes := make([]listed, 0, len(listing.Sandboxes))
	for _, s := range listing.Sandboxes {
		sandboxes = append(sandboxes, describe(s, l.root))
	}
	switch unread := unreadError(l.root, listing.Errors); {
	case l.json:
		return errors.Join(writeJSON(std.Out, sandboxes), unread)
	case len(sandboxes) > 0:
		return errors.Join(writeTable(std.Out, listedTable(sandboxes), l.width(std)), unread)
	case unread != nil:
		return unread
	}
	fmt.Fprintf(std.Err, "No sandboxes in %s.\n", l.root)
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
	pid, running := proof.Running(s, rootDir)
	l := listed{
		ID:           s.ID,
		Iteration:    state.Iteration(s.ID, s.CreatedAt),
		Pod:          s.PodName,
		Namespace:    s.Namespace,
		State:        s.Status,
		Running:      running,
		PID:          pid,
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

// sandboxColumns has the columns of both lists in the order of the cells that sandboxCells returns.
var sandboxColumns = []cli.Column{
	{Title: "SANDBOX"},
	{Title: "NAMESPACE", MinWidth: minListWidth, Optional: 3},
	{Title: "POD", MinWidth: minListWidth, Optional: 2},
	{Title: "STATE", MinWidth: minListWidth, Optional: 1},
	{Title: "PID", Optional: 5},
	{Title: "CONTAINERS", Optional: 7},
	{Title: "CREATED (UTC)", Optional: 6},
}

// sandboxCells returns cells about a sandbox of which namespace, pod, PID and time may be unknown.
func sandboxCells(id string, namespace, pod *string, state string, pid *int, containers int, created time.Time) []string {
	at := "-"
	if !created.IsZero() {
		at = created.UTC().Format(time.DateTime)
	}
	process := "-"
	if pid != nil {
		process = strconv.Itoa(*pid)
	}
	return []string{cli.Cell(id), knownCell(namespace), knownCell(pod), state, process, strconv.Itoa(containers), at}
}

// knownCell returns the cell of a value that may be unknown.
func knownCell(value *string) string {
	if value == nil {
		return "-"
	}
	return cli.Cell(*value)
}

func listedTable(sandboxes []listed) cli.Table {
	table := cli.Table{Columns: append(slices.Clip(sandboxColumns), cli.Column{Title: "METRIC SERVER", MinWidth: minListWidth, Optional: 4})}
	for _, s := range sandboxes {
		pid := &s.PID
		if s.PID == 0 {
			pid = nil
		}
		cells := sandboxCells(s.ID, &s.Namespace, &s.Pod, cli.Cell(s.State), pid, s.Containers, s.CreatedAt)
		table.Rows = append(table.Rows, append(cells, metricServerCell(s)))
	}
	return table
}

// writeTable writes a table whose first column has IDs. It fits a terminal of width columns, unless
// width is 0.
func writeTable(out io.Writer, table cli.Table, width int) error {
	if width > 0 && table.Width() > width {
		shortenIDs(table.Rows)
	}
	_, err := io.WriteString(out, strings.Join(table.Lines(width), "\n")+"\n")
	return err
}

// minIDLength is the length to which IDs are cut if they still differ, the same as Docker's.
const minIDLength = 12

// shortenIDs cuts the IDs in the first cells of rows to the shortest length at which different IDs
// still differ.
func shortenIDs(rows [][]string) {
	cut := func(id string, length int) string {
		characters := []rune(id)
		return string(characters[:min(length, len(characters))])
	}
	count := func(length int) int {
		ids := make(map[string]bool)
		for _, row := range rows {
			ids[cut(row[0], length)] = true
		}
		return len(ids)
	}
	length := minIDLength
	for all := count(math.MaxInt); count(length) < all; {
		length++
	}
	for _, row := range rows {
		row[0] = cut(row[0], length)
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
