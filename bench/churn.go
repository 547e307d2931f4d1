package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const churnHeader = `| after | lives begun | running | lingering | series | page MB | memory MB | Go heap MB | goroutines | threads | file descriptors | CPU s | records written | dropped | inotify overflows |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |`

// churn prints what a server holds while sandboxes with processes of their own come and go. The
// server also gets the flags after --.
func (b *bench) churn(args []string) {
	rate := b.flags.Int("rate", 30, "Sandboxes per second.")
	length := b.flags.Duration("for", 10*time.Minute, "How long to measure.")
	every := b.flags.Duration("every", 30*time.Second, "Time between rows.")
	scrape := b.flags.Duration("scrape", 5*time.Second, "Time between scrapes.")
	check(b.flags.Parse(args))
	dir := must(os.MkdirTemp("", "smchurn"))
	defer os.RemoveAll(dir)
	root, records := filepath.Join(dir, "root"), filepath.Join(dir, "records")
	check(os.Mkdir(root, 0o755))
	// Ended sandboxes stay until there are 1,000, which is after half a minute.
	flags := []string{"--linger=5m", "--totals-metric=fs_opens", "--final-records=" + records + ",max-size=0"}
	server := b.startServer(root, append(flags, b.flags.Args()...)...)
	defer server.stop()
	cgroups, remove := makeCgroups()
	defer remove()
	churn := start(b.lab, append([]string{"simulate", "--root", root, "--churn", strconv.Itoa(*rate)}, cgroups...)...)
	defer churn.stop()
	fmt.Println(churnHeader)
	began, again := time.Now(), time.Tick(*scrape)
	for row := *every; time.Since(began) < *length; {
		<-again
		check(b.ctx.Err())
		var page bytes.Buffer
		must(server.get(&page, "/metrics", http.Header{"X-Prometheus-Scrape-Timeout-Seconds": {"5"}}))
		if after := time.Since(began); after >= row {
			server.printChurn(after, page.Bytes())
			row += *every
		}
	}
	churn.interrupt()
	said := bytes.Split(bytes.TrimSpace(must(io.ReadAll(churn.out))), []byte("\n"))
	server.stop() // writes the last records
	fmt.Printf("\n%s\n%s\n", said[len(said)-1], readRecords(records))
}

// printChurn prints what the server holds and has done.
func (s *server) printChurn(after time.Duration, page []byte) {
	proc := fmt.Sprintf("/proc/%d/", s.cmd.Process.Pid)
	descriptors, threads := must(os.ReadDir(proc+"fd")), must(os.ReadDir(proc+"task"))
	sums := sumSamples(page)
	running := sums["sandmeter_num_sandboxes_running"]
	fmt.Printf("| %v | %.0f | %.0f | %.0f | %.0f | %.1f | %.1f | %.1f | %.0f | %d | %d | %.1f | %.0f | %.0f | %.0f |\n", after.Round(time.Second),
		sums["sandmeter_sandboxes_started_total"], running, sums["sandmeter_sandbox_presence"]-running, sums[""], float64(len(page))/1e6,
		mb(s.memory()), sums["go_memstats_heap_alloc_bytes"]/(1<<20), sums["go_goroutines"], len(threads), len(descriptors), s.cpu().Seconds(),
		sums["sandmeter_final_records_written_total"], sums["sandmeter_final_records_dropped_total"], sums["sandmeter_inotify_overflows_total"])
}

// sumSamples returns the sum of the samples of each name on a page, and under the empty name how
// many there are.
func sumSamples(page []byte) map[string]float64 {
	sums := make(map[string]float64)
	for line := range bytes.Lines(page) {
		if line[0] == '#' || line[0] == '\n' {
			continue
		}
		text := strings.TrimSuffix(string(line), "\n")
		name := text[:strings.IndexAny(text, "{ ")]
		value, err := strconv.ParseFloat(text[strings.LastIndexByte(text, ' ')+1:], 64)
		if err != nil {
			continue
		}
		sums[name] += value
		sums[""]++
	}
	return sums
}

// readRecords returns, as text, where the last values of the sandboxes in a file of records are from,
// and how they ended.
func readRecords(path string) string {
	metrics, usage, outcomes, lives := make(map[string]int), make(map[string]int), make(map[string]int), make(map[string]bool)
	lines := 0
	for line := range bytes.Lines(must(os.ReadFile(path))) {
		var record struct {
			ID, Outcome   string
			MetricsSource string `json:"metrics_source"`
			UsageSource   string `json:"usage_source"`
		}
		check(json.Unmarshal(line, &record))
		lines++
		lives[record.ID] = true
		outcomes[record.Outcome]++
		metrics[cmp.Or(record.MetricsSource, "none")]++
		usage[cmp.Or(record.UsageSource, "none")]++
	}
	return fmt.Sprintf("%d records of %d sandboxes. Outcomes: %v. Sources of metrics: %v. Sources of usage: %v.", lines, len(lives), outcomes, metrics, usage)
}
