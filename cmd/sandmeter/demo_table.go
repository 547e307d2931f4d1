package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/sandmeter/sandmeter/metricclient"
)

// noValue stands in the table for what the server has no value for.
const noValue = "-"

// writeDemoTable shows what a page says about sandboxes.
func writeDemoTable(out io.Writer, page metricclient.MetricData, sandboxes []demoSandbox) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "\nSANDBOX\tPOD\tSTATE\tFILE OPENS\tFILE READS")
	for _, s := range sandboxes {
		row, err := demoRow(page, s)
		if err != nil {
			return err
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// demoRow returns a sandbox's line of the table.
func demoRow(page metricclient.MetricData, s demoSandbox) ([]string, error) {
	state, err := demoState(page, s)
	if err != nil {
		return nil, err
	}
	opens, err := demoValue(page, s, "runsc_fs_opens")
	if err != nil {
		return nil, err
	}
	reads, err := demoValue(page, s, "runsc_fs_reads")
	if err != nil {
		return nil, err
	}
	return []string{cell(s.ID), demoPod(page, s), state, opens, reads}, nil
}

// demoPod returns the name of the sandbox's pod, if the server knows it.
func demoPod(page metricclient.MetricData, s demoSandbox) string {
	want := metricclient.WantMetric{Metric: "runsc_meta_sandbox_metadata", Sandbox: s.ID, Pod: s.pod.Name, Namespace: s.pod.Namespace}
	if _, err := page.GetSandboxMetadataMetric(want); err != nil || s.pod.Name == "" {
		return noValue
	}
	return cell(s.pod.Namespace + "/" + s.pod.Name)
}

func demoState(page metricclient.MetricData, s demoSandbox) (string, error) {
	running, err := demoValue(page, s, "runsc_meta_sandbox_running")
	switch running {
	case "1":
		return "running", err
	case "0":
		return "ended", err
	}
	return noValue, err
}

// demoValue returns a sandbox's value of a metric, or noValue.
func demoValue(page metricclient.MetricData, s demoSandbox, metric string) (string, error) {
	v, _, err := page.GetPrometheusContainerInteger(metricclient.WantMetric{Metric: metric, Sandbox: s.ID})
	if errors.Is(err, metricclient.ErrNoSample) {
		return noValue, nil
	}
	return strconv.FormatInt(v, 10), err
}
