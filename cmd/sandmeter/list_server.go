package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/sandmeter/sandmeter/internal/api"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/metricclient"
)

// listServed writes the sandboxes that a server serves: the document of the server, with --json, or
// a table.
func (l *list) listServed(ctx context.Context, std cli.Stdio) error {
	client, err := l.server.client("")
	if err != nil {
		return err
	}
	defer client.Close()
	text, err := client.GetSandboxes(ctx)
	if err != nil {
		return explainNoAPI(explainGet(ctx, client, err))
	}
	var document struct {
		Sandboxes *[]api.Sandbox `json:"sandboxes"`
	}
	if err := json.Unmarshal(text, &document); err != nil || document.Sandboxes == nil {
		return fmt.Errorf("the server at %s sent something other than a list of sandboxes; give the address of the metric server with --address",
			l.server.address)
	}
	sandboxes := *document.Sandboxes
	switch {
	case l.json:
		return writeJSON(std.Out, json.RawMessage(text))
	case len(sandboxes) == 0:
		fmt.Fprintf(std.Err, "The server at %s serves no sandboxes.\n", l.server.address)
		return nil
	}
	return writeTable(std.Out, servedTable(sandboxes), l.width(std))
}

// explainNoAPI adds advice to the error of a metric server without the JSON API.
func explainNoAPI(err error) error {
	if errors.Is(err, metricclient.ErrNoAPI) {
		return fmt.Errorf("%w; sandmeter serve has it, metric-server does not; list --root reads state files instead", err)
	}
	return err
}

// stateCell returns how a sandbox ended, if it has, and its state otherwise.
func stateCell(s api.Sandbox) string {
	switch {
	case s.Outcome == nil:
		return cli.Cell(s.State)
	case s.ExitCode != nil && *s.ExitCode != 0:
		return cli.Cell(*s.Outcome) + fmt.Sprintf(" (%d)", *s.ExitCode)
	case s.Signal != nil && *s.Outcome == "killed":
		return cli.Cell(*s.Outcome) + fmt.Sprintf(" (%d)", *s.Signal)
	}
	return cli.Cell(*s.Outcome)
}

// metricsCell returns why a sandbox has no series, or the result of the query for metrics. A status
// that this program does not know is shown as it is.
func metricsCell(s api.Sandbox) string {
	switch {
	case s.Hidden != nil:
		return "hidden (" + cli.Cell(*s.Hidden) + ")"
	case s.QueryStatus == "not_running":
		return "not running"
	case s.Reason != nil:
		return cli.Cell(s.QueryStatus) + " (" + cli.Cell(*s.Reason) + ")"
	}
	return cli.Cell(s.QueryStatus)
}

// servedTable returns the table of sandboxes. It shows runtime roots if there are several, because
// IDs may then be equal.
func servedTable(sandboxes []api.Sandbox) cli.Table {
	table := cli.Table{Columns: append(slices.Clip(sandboxColumns), cli.Column{Title: "METRICS", MinWidth: minListWidth})}
	several := slices.ContainsFunc(sandboxes, func(s api.Sandbox) bool { return s.RuntimeRoot != sandboxes[0].RuntimeRoot })
	if several {
		table.Columns = append(table.Columns, cli.Column{Title: "RUNTIME ROOT", MinWidth: minListWidth, Optional: 4})
	}
	for _, s := range sandboxes {
		cells := append(sandboxCells(s.ID, s.Namespace, s.Pod, stateCell(s), s.PID, len(s.Containers), s.CreatedAt), metricsCell(s))
		if several {
			cells = append(cells, cli.Cell(s.RuntimeRoot))
		}
		table.Rows = append(table.Rows, cells)
	}
	return table
}
