package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/metricclient"
)

// noValue is the cell for a missing value.
const noValue = "-"

// demoFacts has the values of a sandbox on a page.
type demoFacts struct {
	id, pod, state string
	opens, reads   reading
}

// A reading is the value of a counter at a time. The zero reading means that there was no such
// counter.
type reading struct {
	known bool
	value int64
	at    time.Time
}

// readDemo returns the values of sandboxes on a page, in the order of sandboxes.
func readDemo(page metricclient.MetricData, sandboxes []demoSandbox) ([]demoFacts, error) {
	var all []demoFacts
	for _, s := range sandboxes {
		running, err := readCounter(page, s, "runsc_meta_sandbox_running")
		if err != nil {
			return nil, err
		}
		opens, err := readCounter(page, s, "runsc_fs_opens")
		if err != nil {
			return nil, err
		}
		reads, err := readCounter(page, s, "runsc_fs_reads")
		if err != nil {
			return nil, err
		}
		all = append(all, demoFacts{cli.Cell(s.id), demoPod(page, s), demoState(running), opens, reads})
	}
	return all, nil
}

func readCounter(page metricclient.MetricData, s demoSandbox, metric string) (reading, error) {
	value, at, err := page.GetPrometheusContainerInteger(metricclient.WantMetric{Metric: metric, Sandbox: s.id})
	if errors.Is(err, metricclient.ErrNoSample) {
		return reading{}, nil
	}
	return reading{true, value, at}, err
}

// demoPod returns the name of the sandbox's pod, if it is on the page.
func demoPod(page metricclient.MetricData, s demoSandbox) string {
	want := metricclient.WantMetric{Metric: "runsc_meta_sandbox_metadata", Sandbox: s.id, Pod: s.pod.Name, Namespace: s.pod.Namespace}
	if _, err := page.GetSandboxMetadataMetric(want); err != nil || s.pod.Name == "" {
		return noValue
	}
	return cli.Cell(s.pod.Namespace + "/" + s.pod.Name)
}

const (
	demoRunning = "running"
	demoEnded   = "ended"
)

func demoState(running reading) string {
	switch {
	case !running.known:
		return noValue
	case running.value == 0:
		return demoEnded
	}
	return demoRunning
}

// since returns the growth rate of the counter since another reading, in 1/s. It is unknown if the
// counter was reset or no time has passed.
func (r reading) since(before reading) (perSecond float64, known bool) {
	grown, passed := r.value-before.value, r.at.Sub(before.at)
	if !before.known || !r.known || before.at.IsZero() || passed <= 0 || grown < 0 {
		return 0, false
	}
	return float64(grown) / passed.Seconds(), true
}

// demoColumns has the columns in the order of the cells of demoTable.
var demoColumns = []cli.Column{
	{Title: "SANDBOX"},
	{Title: "POD", Optional: 2},
	{Title: "STATE", Optional: 1},
	{Title: "  OPENS", Optional: 3},
	{Title: " OPENS/S", Optional: 4},
	{Title: "  READS", Optional: 5},
	{Title: " READS/S", Optional: 6},
}

// demoTable returns a table of the values now, with rates if there are values from before. A label
// that is not empty begins each line.
func demoTable(label string, before, now []demoFacts) cli.Table {
	table := cli.Table{Columns: demoColumns}
	if label != "" {
		table.Columns = append([]cli.Column{{Title: label}}, demoColumns...)
	}
	for i, f := range now {
		var old demoFacts
		if i < len(before) {
			old = before[i]
		}
		row := []string{f.id, f.pod, f.state, fmt.Sprintf("%7s", f.opens.text()), fmt.Sprintf("%8s", rateText(f.opens.since(old.opens))),
			fmt.Sprintf("%7s", f.reads.text()), fmt.Sprintf("%8s", rateText(f.reads.since(old.reads)))}
		table.Rows = append(table.Rows, labeled(label, row...))
	}
	return table
}

// checkStarted returns an error unless all sandboxes run.
func checkStarted(sandboxes []demoFacts) error {
	for _, s := range sandboxes {
		if s.state != demoRunning {
			return fmt.Errorf("sandbox %s was started but is not running: give the path of runsc with --runsc", s.id)
		}
	}
	return nil
}

func (r reading) text() string {
	if !r.known {
		return noValue
	}
	return strconv.FormatInt(r.value, 10)
}

func rateText(perSecond float64, known bool) string {
	if !known {
		return noValue
	}
	return strconv.FormatFloat(perSecond, 'f', 1, 64)
}
