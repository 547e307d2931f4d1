package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sandmeter/sandmeter/internal/cli"
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
func demoTable(before, now []demoFacts) []string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(id, pod, state, opens, opensRate, reads, readsRate string) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%7s\t%8s\t%7s\t%8s\n", id, pod, state, opens, opensRate, reads, readsRate) // Flush has the error
	}
	row("SANDBOX", "POD", "STATE", "OPENS", "OPENS/S", "READS", "READS/S")
	for i, f := range now {
		var old demoFacts
		if i < len(before) {
			old = before[i]
		}
		row(f.id, f.pod, f.state, f.opens.text(), rateText(f.opens.since(old.opens)), f.reads.text(), rateText(f.reads.since(old.reads)))
	}
	_ = w.Flush() // a strings.Builder takes everything
	return strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
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
