package main

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/metricclient"
)

// noValue stands in the table for what the server has no value for.
const noValue = "-"

// demoFacts is what a page says about a sandbox.
type demoFacts struct {
	id, pod, state string
	opens, reads   reading
}

// reading is the value that a counter had at a time. The zero reading is of a counter that was not there.
type reading struct {
	known bool
	value int64
	at    time.Time
}

// readDemo returns what a page says about sandboxes, in their order.
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
		all = append(all, demoFacts{cell(s.id), demoPod(page, s), demoState(running), opens, reads})
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

// demoPod returns the name of the sandbox's pod, if the server knows it.
func demoPod(page metricclient.MetricData, s demoSandbox) string {
	want := metricclient.WantMetric{Metric: "runsc_meta_sandbox_metadata", Sandbox: s.id, Pod: s.pod.Name, Namespace: s.pod.Namespace}
	if _, err := page.GetSandboxMetadataMetric(want); err != nil || s.pod.Name == "" {
		return noValue
	}
	return cell(s.pod.Namespace + "/" + s.pod.Name)
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

// since returns how fast the counter has grown since another reading, in 1/s. There is no telling where a counter began anew, or where
// time did not pass.
func (r reading) since(before reading) (perSecond float64, known bool) {
	grown, passed := r.value-before.value, r.at.Sub(before.at)
	if !before.known || !r.known || before.at.IsZero() || passed <= 0 || grown < 0 {
		return 0, false
	}
	return float64(grown) / passed.Seconds(), true
}

// demoTable shows facts, with rates if there are facts from before about the same sandboxes.
func demoTable(before, now []demoFacts) []line {
	var table [][]span
	for _, title := range []string{"SANDBOX", "POD", "STATE", "OPENS", "OPENS/S", "READS", "READS/S"} {
		table = append(table, []span{{title, bold}})
	}
	for i, f := range now {
		var old demoFacts
		if i < len(before) {
			old = before[i]
		}
		stateStyle := map[string]string{demoRunning: green, demoEnded: red}[f.state]
		for column, s := range []span{
			{f.id, ""}, {f.pod, ""}, {f.state, stateStyle},
			{f.opens.text(), ""}, {rateText(f.opens.since(old.opens)), ""},
			{f.reads.text(), ""}, {rateText(f.reads.since(old.reads)), ""},
		} {
			table[column] = append(table[column], s)
		}
	}
	return sideBySide(table, 3)
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

// sideBySide makes lines of columns of one length. The first column of numbers, which are flush right, has the index numbers.
func sideBySide(columns [][]span, numbers int) []line {
	lines := make([]line, len(columns[0]))
	for i, column := range columns {
		width := 0
		for _, s := range column {
			width = max(width, line{s}.columns())
		}
		for j, s := range column {
			pad := span{text: strings.Repeat(" ", width-line{s}.columns())}
			if i < numbers {
				lines[j] = append(lines[j], s, pad)
			} else {
				lines[j] = append(lines[j], pad, s)
			}
			if i < len(columns)-1 {
				lines[j] = append(lines[j], span{text: "  "})
			}
		}
	}
	return lines
}
