package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
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

// listed is a sandbox as list shows it. Scripts read its JSON.
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
	rootDir, asJSON := config.DefaultRootDir(), false
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the sandboxes of a runtime root",
		Long: "List the sandboxes of a runtime root, those without metrics too. Nothing is asked of the sandboxes themselves. Where state files\n" +
			"could not be read, it lists all others and ends with 1.",
		Example: "  sandmeter list --root /run/containerd/runsc/k8s.io\n" +
			"  sandmeter list --json",
		Args:    cli.NoArgs,
		PreRunE: func(cmd *cobra.Command, _ []string) error { return cli.FromEnv(cmd.Flags()) },
		RunE: func(*cobra.Command, []string) error {
			return list(rootDir, asJSON, std)
		},
	}
	cli.RegisterRoot(cmd, &rootDir, "the runtime root, `directory` of runsc's state files")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write a JSON array instead of a table")
	return cmd
}

// list writes what can be listed, and returns an error when that may not be all.
func list(rootDir string, asJSON bool, std cli.Stdio) error {
	listing, err := state.NewRoot(rootDir).List()
	if err != nil {
		return explainRoot(err)
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
		return errors.Join(writeList(std.Out, sandboxes), unread)
	case unread != nil:
		return unread
	}
	fmt.Fprintf(std.Err, "No sandboxes in %s.\n", rootDir)
	return nil
}

// unreadError says that a list may lack sandboxes, if so.
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
		// The file goes on saying "running" until the sandbox is deleted.
		l.State = state.StatusStopped
	}
	return l
}

func writeList(out io.Writer, sandboxes []listed) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SANDBOX\tNAMESPACE\tPOD\tSTATE\tPID\tCONTAINERS\tCREATED (UTC)\tMETRIC SERVER")
	for _, s := range sandboxes {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", s.ID, cli.Cell(s.Namespace), cli.Cell(s.Pod), cli.Cell(s.State), s.PID, s.Containers,
			s.CreatedAt.UTC().Format(time.DateTime), metricServerCell(s))
	}
	return w.Flush()
}

// metricServerCell marks the sandboxes that have no metrics, whatever address they named.
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

// printable escapes what a terminal does not show as it is; a newline at the end stays.
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

// writeJSON writes JSON in which everything is escaped that a terminal does not show as it is: more than JSON asks for.
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
