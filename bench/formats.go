package main

import (
	"context"
	"fmt"
	"net/http"
)

// A format is how a client asks for a page.
type format struct{ name, accept, encoding string }

// formats are all formats, the first of which the others are compared with.
var formats = []format{
	{"text", "text/plain;version=0.0.4", ""},
	{"OpenMetrics", "application/openmetrics-text;version=1.0.0", ""},
	{"protobuf", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", ""},
	{"text, gzip", "text/plain;version=0.0.4", "gzip"},
	{"text, zstd", "text/plain;version=0.0.4", "zstd"},
	{"OpenMetrics, gzip", "application/openmetrics-text;version=1.0.0", "gzip"},
	{"protobuf, gzip", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", "gzip"},
	{"protobuf, zstd", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", "zstd"},
}

const formatHeader = `| format | server CPU ms | server wall ms | CPU ratio to text | page MB |
| --- | --- | --- | --- | --- |`

// formats prints the cost of a scrape in each format. Formats take turns, one scrape each per round.
func (b bench) formats(ctx context.Context) error {
	f := fleet{sandboxes: 1000, points: 60, scrapers: 1}
	sim, err := startFleet(ctx, b.lab, f)
	if err != nil {
		return err
	}
	defer sim.stop()
	server, err := startServer(ctx, b.program, sim.root, 0, onlySent, noUsage)
	if err != nil {
		return err
	}
	defer server.stop()
	costs, pages := make([][]cost, len(formats)), make([]int, len(formats))
	for range b.rounds + 1 {
		for i, as := range formats {
			f.header = http.Header{"Accept": {as.accept}, "Accept-Encoding": {as.encoding}}
			got, size, err := server.scrape(f)
			if err != nil {
				return err
			}
			costs[i], pages[i] = append(costs[i], got), size
		}
	}
	text := median(costs[0][1:]) // without the first round, which has work that is done once
	fmt.Printf("\nFormats, 1000 × 60:\n\n%s\n", formatHeader)
	for i, as := range formats {
		got := median(costs[i][1:])
		fmt.Printf("| %s | %.1f | %.1f | %.2f | %.2f |\n", as.name, ms(got.cpu), ms(got.wall), ms(got.cpu)/ms(text.cpu), float64(pages[i])/1e6)
	}
	fmt.Println()
	return nil
}
