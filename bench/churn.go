package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// churnCommand is the argument that makes the bench measure a server of sandboxes that come and go.
const churnCommand = "churn"

const churnHeader = `| after | lives begun | running | lingering | series | page MB | memory MB | Go heap MB | goroutines | threads | file descriptors | CPU s | records written | dropped | inotify overflows |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |`

// measureChurn prints what a server holds while sandboxes with processes of their own come and go. The
// server also gets the flags after --.
func measureChurn(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench churn", flag.ContinueOnError)
	program := flags.String("sandmeter", "bin/sandmeter", "The sandmeter `program` to measure.")
	lab := flags.String("sandlab", "bin/sandlab", "The sandlab `program`, which simulates the sandboxes.")
	rate := flags.Int("rate", 30, "Sandboxes per second.")
	length := flags.Duration("for", 10*time.Minute, "How long to measure.")
	every := flags.Duration("every", 30*time.Second, "Time between rows.")
	scrape := flags.Duration("scrape", 5*time.Second, "Time between scrapes.")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "smchurn")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	records := filepath.Join(dir, "records")
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	// Ended sandboxes stay until there are 1,000, which is after half a minute.
	serverFlags := append([]string{"--linger=5m", "--totals-metric=fs_opens",
		"--final-records=" + records + ",max-size=0"}, flags.Args()...)
	server, err := startServer(ctx, *program, root, 0, serverFlags...)
	if err != nil {
		return err
	}
	defer server.stop()
	churn, err := startChurn(ctx, *lab, root, *rate)
	if err != nil {
		return err
	}
	fmt.Println(churnHeader)
	err = server.watchChurn(ctx, *length, *every, *scrape)
	said := churn.end()
	server.stop() // writes the last records
	if err != nil {
		return err
	}
	counts, err := readRecords(records)
	fmt.Printf("\n%s%s\n", said, counts)
	return err
}

// A churning is a running program that simulates sandboxes that come and go.
type churning struct {
	*process
	cgroups []string
}

func startChurn(ctx context.Context, lab, root string, rate int) (*churning, error) {
	c := new(churning)
	var err error
	if c.cgroups, err = makeCgroups(); err != nil {
		return nil, errors.Join(fmt.Errorf("make cgroups, which needs root: %w", err), c.removeCgroups())
	}
	args := []string{"simulate", "--root", root, "--churn", strconv.Itoa(rate)}
	for _, dir := range c.cgroups {
		args = append(args, "--cgroups", dir)
	}
	// It removes the cgroups when it is interrupted, so it must not be killed.
	if c.process, err = start(context.WithoutCancel(ctx), lab, args...); err != nil {
		return nil, errors.Join(err, c.removeCgroups())
	}
	return c, nil
}

// end ends the program, and returns the last line that it wrote.
func (c *churning) end() (last string) {
	c.interrupt()
	for {
		line, err := c.out.ReadString('\n')
		if err != nil {
			break
		}
		last = line
	}
	c.stop()
	_ = c.removeCgroups()
	return last
}

func (c *churning) removeCgroups() error {
	var errs []error
	for _, dir := range c.cgroups {
		errs = append(errs, os.Remove(dir))
	}
	return errors.Join(errs...)
}

// watchChurn scrapes the server for the time, and prints rows.
func (s *server) watchChurn(ctx context.Context, length, every, scrape time.Duration) error {
	began := time.Now()
	again := time.NewTicker(scrape)
	defer again.Stop()
	for row := every; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
		}
		page, err := s.page("/metrics", "5")
		if err != nil {
			return err
		}
		if after := time.Since(began); after >= row {
			text, err := s.churnRow(after, page)
			if err != nil {
				return err
			}
			fmt.Println(text)
			row += every
		}
		if time.Since(began) >= length {
			return nil
		}
	}
}

// churnRow returns what the server holds and has done.
func (s *server) churnRow(after time.Duration, page []byte) (string, error) {
	memory, err := s.memory()
	if err != nil {
		return "", err
	}
	descriptors, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		return "", err
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", s.cmd.Process.Pid))
	if err != nil {
		return "", err
	}
	cpu, err := s.cpu()
	if err != nil {
		return "", err
	}
	sums := sumSamples(page)
	running := sums["sandmeter_num_sandboxes_running"]
	return fmt.Sprintf("| %v | %.0f | %.0f | %.0f | %.0f | %.1f | %.1f | %.1f | %.0f | %d | %d | %.1f | %.0f | %.0f | %.0f |", after.Round(time.Second),
		sums["sandmeter_sandboxes_started_total"], running, sums["sandmeter_sandbox_presence"]-running, sums[""], float64(len(page))/1e6,
		float64(memory)/(1<<20), sums["go_memstats_heap_alloc_bytes"]/(1<<20), sums["go_goroutines"], len(threads), len(descriptors), cpu.Seconds(),
		sums["sandmeter_final_records_written_total"], sums["sandmeter_final_records_dropped_total"], sums["sandmeter_inotify_overflows_total"]), nil
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
func readRecords(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	metrics, usage, outcomes := make(map[string]int), make(map[string]int), make(map[string]int)
	lines, lives := 0, make(map[string]bool)
	for line := range bytes.Lines(data) {
		var record struct {
			ID, Outcome   string
			MetricsSource *string `json:"metrics_source"`
			UsageSource   *string `json:"usage_source"`
		}
		if err := json.Unmarshal(line, &record); err != nil {
			return "", err
		}
		lines++
		lives[record.ID] = true
		outcomes[record.Outcome]++
		metrics[sourceOf(record.MetricsSource)]++
		usage[sourceOf(record.UsageSource)]++
	}
	return fmt.Sprintf("%d records of %d sandboxes. Outcomes: %v. Sources of metrics: %v. Sources of usage: %v.", lines, len(lives), outcomes, metrics, usage), nil
}

func sourceOf(source *string) string {
	if source == nil {
		return "none"
	}
	return *source
}
