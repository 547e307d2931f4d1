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

func main() { os.Exit(run(os.Args[1:])) }

// run is the bench, or one of the processes that it starts. It returns the exit code.
func run(args []string) (code int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failure:
			fmt.Fprintln(os.Stderr, "bench:", r.error)
			code = 1
		default:
			panic(r)
		}
	}()
	b := &bench{ctx: ctx, flags: flag.NewFlagSet("bench", flag.ContinueOnError)}
	b.flags.StringVar(&b.program, "sandmeter", "bin/sandmeter", "The sandmeter `program` to measure.")
	b.flags.StringVar(&b.lab, "sandlab", "bin/sandlab", "The sandlab `program`, which runs the sandboxes.")
	b.flags.IntVar(&b.rounds, "rounds", 20, "Number of rounds.")
	commands := map[string]func(args []string){floorCommand: serveFloor, "node": b.node, "churn": b.churn}
	if len(args) > 0 && commands[args[0]] != nil {
		commands[args[0]](args[1:])
	} else {
		b.scrapes(args)
	}
	return 0
}

// A failure is an error that ends the bench: check panics with it, so that deferred calls stop what was
// started, and run prints it.
type failure struct{ error }

func check(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// must returns a value that comes without an error.
func must[T any](value T, err error) T {
	check(err)
	return value
}

// bench has the settings of a measurement.
type bench struct {
	ctx     context.Context
	flags   *flag.FlagSet
	program string // the server
	lab     string // sandlab, which simulates sandboxes
	rounds  int
}

// A fleet is a set of simulated sandboxes, and how they are scraped.
type fleet struct {
	sandboxes, points int
	flags             []string           // of sandlab simulate
	zeros             bool               // the server shows counters that are zero
	query             func(i int) string // of scrape i; nil: none
	header            http.Header
	scrapes, atOnce   int // in a round; 1 if 0
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

// thousand is the fleet of most measurements.
var thousand = fleet{sandboxes: 1000, points: 60}

const filterParam = "?runsc-sandbox-metrics-filter="

// fleets returns all fleets, in the order of the table.
func fleets() []fleet {
	var all []fleet
	for _, n := range []int{10, 100, 1000, 4000} {
		for _, points := range []int{8, 60, 170} {
			all = append(all, fleet{sandboxes: n, points: points})
		}
	}
	all = append(all, fleet{sandboxes: 250, points: 60}, fleet{sandboxes: 10_000, points: 60})
	odd := func(note string, change func(*fleet)) {
		f := thousand
		f.note = note
		change(&f)
		all = append(all, f)
	}
	odd("37 points", func(f *fleet) { f.points = 37 })
	odd("113 points", func(f *fleet) { f.points = 113 })
	odd("two releases", func(f *fleet) { f.flags = []string{"--two-releases"} })
	odd("shuffled keys", func(f *fleet) { f.flags = []string{"--shuffle-keys"} })
	odd("nothing changes", func(f *fleet) { f.flags = []string{"--static"} })
	odd("one family", func(f *fleet) { f.query = func(int) string { return filterParam + "^fs_opens$" } })
	odd("with zero counters", func(f *fleet) { f.zeros = true })
	odd("8 scrapers", func(f *fleet) { f.scrapes, f.atOnce = 8, 8 })
	odd("16 scrapers with 16 filters", func(f *fleet) { // from a few families to nearly all
		f.scrapes, f.atOnce, f.query = 16, 16, func(i int) string { return fmt.Sprintf("%s^[a-%c]", filterParam, 'f'+i) }
	})
	odd("1000 targets of one sandbox each, 8 at once", func(f *fleet) {
		f.scrapes, f.atOnce, f.query = 1000, 8, func(i int) string { return fmt.Sprintf("?sandbox=sim-%04d", i) }
	})
	odd("10 shards", func(f *fleet) {
		f.scrapes, f.query = 10, func(i int) string { return fmt.Sprintf("?shard=%d/10", i) }
	})
	return all
}

const header = `| fleet | floor CPU ms | floor wall ms | server CPU ms | server wall ms | CPU ratio | wall ratio | first scrape ms | reading the state files ms | memory MB | page MB |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |`

// scrapes prints the tables of simulated fleets.
func (b *bench) scrapes(args []string) {
	idle := b.flags.Duration("idle", 30*time.Second, "How long to measure the idle server; 0 skips it.")
	only := b.flags.String("only", "", "Measure only fleets whose `name` contains this text.")
	formats := b.flags.Bool("formats", true, "Also compare the formats.")
	usage := b.flags.Bool("usage", true, "Also measure the cost of usage, which needs root for cgroups.")
	check(b.flags.Parse(args))
	fmt.Println(header)
	for _, f := range fleets() {
		if strings.Contains(f.name(), *only) {
			b.measure(f)
		}
	}
	if *idle > 0 {
		b.idle(*idle)
	}
	if *formats {
		b.formats()
	}
	if *usage {
		b.usage()
	}
}

// cost is the cost of one round.
type cost struct {
	cpu, wall time.Duration // of the server
	inside    time.Duration // CPU in real sandboxes
	page      int           // length in bytes
}

// inTurn measures each of the trials once per round, since the machine changes with time, and returns
// their medians.
func (b *bench) inTurn(trials ...func() cost) []cost {
	costs := make([][]cost, len(trials))
	for range b.rounds {
		for i, trial := range trials {
			check(b.ctx.Err())
			costs[i] = append(costs[i], trial())
		}
	}
	var medians []cost
	for _, all := range costs {
		medians = append(medians, cost{
			median(all, func(c cost) time.Duration { return c.cpu }), median(all, func(c cost) time.Duration { return c.wall }),
			median(all, func(c cost) time.Duration { return c.inside }), median(all, func(c cost) int { return c.page })})
	}
	return medians
}

func median[T int | time.Duration](costs []cost, part func(cost) T) T {
	var all []T
	for _, c := range costs {
		all = append(all, part(c))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// measure measures a fleet and prints its row of the table.
func (b *bench) measure(f fleet) {
	sim := b.startFleet(f)
	defer sim.stop()
	reading := readFiles(sim.root)
	floor := startFloor(sim.root)
	defer floor.stop()
	server := b.startServer(sim.root, f.serverFlags()...)
	defer server.stop()
	first := server.scrape(f)
	got := b.inTurn(floor.round, func() cost { return server.scrape(f) })
	low, ours := got[0], got[1]
	fmt.Printf("| %s | %.1f | %.1f | %.1f | %.1f | %.2f | %.2f | %.0f | %.0f | %.0f | %.1f |\n", f.name(), ms(low.cpu), ms(low.wall), ms(ours.cpu), ms(ours.wall),
		ms(ours.cpu)/ms(low.cpu), ms(ours.wall)/ms(low.wall), ms(first.wall), ms(reading), mb(server.memory()), float64(ours.page)/1e6)
}

// idle prints the cost of the server without requests.
func (b *bench) idle(d time.Duration) {
	sim := b.startFleet(thousand)
	defer sim.stop()
	server := b.startServer(sim.root, onlySent, noUsage)
	defer server.stop()
	time.Sleep(2 * time.Second) // the work after its start is not idle time
	before := server.cpu()
	select {
	case <-time.After(d):
	case <-b.ctx.Done():
	}
	fmt.Printf("\nIdle for %v with 1,000 sandboxes and no requests: %.1f ms of CPU, %.1f MB.\n", d, ms(server.cpu()-before), mb(server.memory()))
}

const formatHeader = `
Formats, 1000 × 60:

| format | server CPU ms | server wall ms | CPU ratio to text | page MB |
| --- | --- | --- | --- | --- |`

// formats prints the cost of a scrape in each format.
func (b *bench) formats() {
	sim := b.startFleet(thousand)
	defer sim.stop()
	server := b.startServer(sim.root, onlySent, noUsage)
	defer server.stop()
	const text, openMetrics = "text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0"
	const protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
	var trials []func() cost
	formats := []struct{ name, accept, encoding string }{
		{"text", text, ""}, {"OpenMetrics", openMetrics, ""}, {"protobuf", protobuf, ""},
		{"text, gzip", text, "gzip"}, {"text, zstd", text, "zstd"}, {"OpenMetrics, gzip", openMetrics, "gzip"},
		{"protobuf, gzip", protobuf, "gzip"}, {"protobuf, zstd", protobuf, "zstd"},
	}
	for _, as := range formats {
		f := thousand
		f.header = http.Header{"Accept": {as.accept}, "Accept-Encoding": {as.encoding}}
		trials = append(trials, func() cost { return server.scrape(f) })
		server.scrape(f) // has work that is done once
	}
	fmt.Println(formatHeader)
	costs := b.inTurn(trials...)
	for i, got := range costs {
		fmt.Printf("| %s | %.1f | %.1f | %.2f | %.2f |\n", formats[i].name, ms(got.cpu), ms(got.wall), ms(got.cpu)/ms(costs[0].cpu), float64(got.page)/1e6)
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
func mb(bytes int) float64       { return float64(bytes) / (1 << 20) }
