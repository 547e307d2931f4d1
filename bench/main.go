// Command bench measures the cost of a scrape, and compares it with the floor: the cost of a client
// that fetches all replies and parses nothing.
//
// It starts simulated fleets, the floor client and the server as separate processes, measures
// rounds of each in turn, and prints a table of medians. Machines are shared and noisy, so the
// ratios to the floor count: it is measured in the same seconds.
//
// With the argument node, it runs real sandboxes instead, and measures what a scrape costs them. With
// the argument churn, it measures what the server holds while sandboxes come and go.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is the bench, or one of the processes that it starts.
func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case floorCommand:
			return serveFloor(args[1])
		case nodeCommand:
			return measureNode(ctx, args[1:])
		case churnCommand:
			return measureChurn(ctx, args[1:])
		}
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	program := flags.String("sandmeter", "bin/sandmeter", "The sandmeter `program` to measure.")
	lab := flags.String("sandlab", "bin/sandlab", "The sandlab `program`, which simulates sandboxes.")
	rounds := flags.Int("rounds", 20, "Number of rounds.")
	idle := flags.Duration("idle", 30*time.Second, "How long to measure the idle server; 0 skips it.")
	only := flags.String("only", "", "Measure only fleets whose `name` contains this text.")
	trial := flags.String("trial", "", "Run only trials whose `name` contains this text.")
	formats := flags.Bool("formats", true, "Also compare the formats.")
	usage := flags.Bool("usage", true, "Also measure the cost of usage, which needs root for cgroups.")
	hostile := flags.Bool("hostile", true, "Also measure many, slow and hostile clients and sandboxes.")
	if err := flags.Parse(args); err != nil {
		return err
	}
	b := bench{program: *program, lab: *lab, rounds: *rounds}
	fmt.Println(header)
	for _, f := range fleets() {
		if strings.Contains(f.name(), *only) {
			row, err := b.measure(ctx, f)
			if err != nil {
				return fmt.Errorf("fleet %s: %w", f.name(), err)
			}
			fmt.Println(row)
		}
	}
	if *idle > 0 {
		if err := b.idle(ctx, *idle); err != nil {
			return err
		}
	}
	if *formats {
		if err := b.formats(ctx); err != nil {
			return fmt.Errorf("formats: %w", err)
		}
	}
	if *usage {
		if err := b.measureUsage(ctx); err != nil {
			return err
		}
	}
	if !*hostile {
		return nil
	}
	fmt.Println(trialHeader)
	for _, t := range trials() {
		if !strings.Contains(t.name, *trial) {
			continue
		}
		row, err := b.try(ctx, t)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		fmt.Println(row)
	}
	return nil
}

// bench has the settings of a measurement.
type bench struct {
	program string // the server
	lab     string // sandlab, which simulates sandboxes
	rounds  int
}

// A fleet is a set of simulated sandboxes, and how they are scraped.
type fleet struct {
	sandboxes, points int
	flags             []string // of sandlab simulate
	zeros             bool     // the server shows counters that are zero
	query             string   // of the scrapes
	header            http.Header
	scrapers          int // at once
	note              string
}

func (f fleet) name() string {
	name := fmt.Sprintf("%d × %d", f.sandboxes, f.points)
	if f.note != "" {
		name += ", " + f.note
	}
	return name
}

// serverFlags returns flags of the server.
func (f fleet) serverFlags() []string {
	if f.zeros {
		return []string{noUsage}
	}
	return []string{onlySent, noUsage}
}

// fleets returns all fleets, in the order of the table.
func fleets() []fleet {
	var all []fleet
	for _, n := range []int{10, 100, 1000, 4000} {
		for _, points := range []int{8, 60, 170} {
			all = append(all, fleet{sandboxes: n, points: points, scrapers: 1})
		}
	}
	all = append(all, fleet{sandboxes: 250, points: 60, scrapers: 1}, fleet{sandboxes: 10_000, points: 60, scrapers: 1})
	odd := func(note string, change func(*fleet)) {
		f := fleet{sandboxes: 1000, points: 60, scrapers: 1, note: note}
		change(&f)
		all = append(all, f)
	}
	odd("37 points", func(f *fleet) { f.points = 37 })
	odd("113 points", func(f *fleet) { f.points = 113 })
	odd("two releases", func(f *fleet) { f.flags = []string{"--two-releases"} })
	odd("shuffled keys", func(f *fleet) { f.flags = []string{"--shuffle-keys"} })
	odd("nothing changes", func(f *fleet) { f.flags = []string{"--static"} })
	odd("one family", func(f *fleet) { f.query = "?runsc-sandbox-metrics-filter=^fs_opens$" })
	odd("with zero counters", func(f *fleet) { f.zeros = true })
	odd("8 scrapers", func(f *fleet) { f.scrapers = 8 })
	return all
}

const header = `| fleet | floor CPU ms | floor wall ms | server CPU ms | server wall ms | CPU ratio | wall ratio | first scrape ms | reading the state files ms | memory MB | page MB |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |`

// cost is the cost of one round.
type cost struct{ cpu, wall time.Duration }

// measure measures a fleet and returns its row of the table.
func (b bench) measure(ctx context.Context, f fleet) (string, error) {
	sim, err := startFleet(ctx, b.lab, f)
	if err != nil {
		return "", err
	}
	defer sim.stop()
	reading, err := readFiles(sim.root)
	if err != nil {
		return "", err
	}
	floor, err := startFloor(ctx, sim.root)
	if err != nil {
		return "", err
	}
	defer floor.stop()
	server, err := startServer(ctx, b.program, sim.root, 0, f.serverFlags()...)
	if err != nil {
		return "", err
	}
	defer server.stop()
	first, _, err := server.scrape(f)
	if err != nil {
		return "", err
	}
	var floors, ours []cost
	var page int
	for range b.rounds {
		low, err := floor.round()
		if err != nil {
			return "", err
		}
		got, size, err := server.scrape(f)
		if err != nil {
			return "", err
		}
		floors, ours, page = append(floors, low), append(ours, got), size
	}
	memory, err := server.memory()
	if err != nil {
		return "", err
	}
	low, got := median(floors), median(ours)
	return fmt.Sprintf("| %s | %.1f | %.1f | %.1f | %.1f | %.2f | %.2f | %.0f | %.0f | %.0f | %.1f |", f.name(), ms(low.cpu), ms(low.wall), ms(got.cpu), ms(got.wall),
		ms(got.cpu)/ms(low.cpu), ms(got.wall)/ms(low.wall), ms(first.wall), ms(reading), float64(memory)/(1<<20), float64(page)/1e6), nil
}

// idle prints the cost of the server without requests.
func (b bench) idle(ctx context.Context, d time.Duration) error {
	sim, err := startFleet(ctx, b.lab, fleet{sandboxes: 1000, points: 60})
	if err != nil {
		return err
	}
	defer sim.stop()
	server, err := startServer(ctx, b.program, sim.root, 0, onlySent, noUsage)
	if err != nil {
		return err
	}
	defer server.stop()
	time.Sleep(2 * time.Second) // the work after its start is not idle time
	before, err := server.cpu()
	if err != nil {
		return err
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return ctx.Err()
	}
	after, err := server.cpu()
	if err != nil {
		return err
	}
	memory, err := server.memory()
	if err != nil {
		return err
	}
	fmt.Printf("\nIdle for %v with 1,000 sandboxes and no requests: %.1f ms of CPU, %.1f MB.\n", d, ms(after-before), float64(memory)/(1<<20))
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// median returns the medians of both costs.
func median(costs []cost) cost {
	of := func(part func(cost) time.Duration) time.Duration {
		var all []time.Duration
		for _, c := range costs {
			all = append(all, part(c))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return cost{of(func(c cost) time.Duration { return c.cpu }), of(func(c cost) time.Duration { return c.wall })}
}
