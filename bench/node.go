package main

import (
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

// nodeCommand is the argument that makes the bench measure a node of real sandboxes.
const nodeCommand = "node"

const nodeHeader = `| %d real sandboxes, one scrape | CPU in the sandboxes ms | per sandbox µs | CPU in the server ms | wall ms |
| --- | --- | --- | --- | --- |`

// settleTime is how long a sandbox may work on a scrape after it has replied, for example to close
// the connection.
const settleTime = 50 * time.Millisecond

// measureNode prints what a scrape costs real sandboxes and the server, with and without usage. The
// first row has no scrape: it is what idle sandboxes use by themselves in the same time.
func measureNode(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench node", flag.ContinueOnError)
	program := flags.String("sandmeter", "bin/sandmeter", "The sandmeter `program` to measure.")
	lab := flags.String("sandlab", "bin/sandlab", "The sandlab `program`, which runs the sandboxes.")
	count := flags.Int("sandboxes", 50, "Number of sandboxes.")
	rounds := flags.Int("rounds", 30, "Number of rounds.")
	if err := flags.Parse(args); err != nil {
		return err
	}
	n, err := startNode(ctx, *lab, *count)
	if err != nil {
		return err
	}
	defer n.stop()
	trials, err := n.startTrials(ctx, *program)
	if err != nil {
		return err
	}
	defer trials.stop()
	fmt.Printf(nodeHeader+"\n", *count)
	return trials.run(ctx, n, *rounds)
}

// A node is a running node of real sandboxes.
type node struct {
	*process
	root      string
	sandboxes []int // processes of the sandboxes
}

// startNode starts sandboxes. The program removes them when it is interrupted, and so it must not be
// killed when the context ends.
func startNode(ctx context.Context, lab string, count int) (*node, error) {
	p, err := start(context.WithoutCancel(ctx), lab, nodeCommand, "--sandboxes", strconv.Itoa(count))
	if err != nil {
		return nil, err
	}
	n := &node{process: p}
	if err := n.find(count); err != nil {
		n.stop()
		return nil, err
	}
	return n, nil
}

// find waits until the sandboxes run, and finds their processes.
func (n *node) find(count int) error {
	line, err := n.out.ReadString('\n')
	if err != nil {
		return errors.New("sandlab node has ended")
	}
	if _, err := fmt.Sscanf(line, "Running %d sandboxes in %s until", &count, &n.root); err != nil {
		return fmt.Errorf("sandlab says %q: %w", line, err)
	}
	files, err := filepath.Glob(filepath.Join(n.root, "*.state"))
	if err != nil {
		return err
	}
	for _, file := range files {
		pid, err := sandboxOf(file)
		if err != nil {
			return err
		}
		n.sandboxes = append(n.sandboxes, pid)
	}
	if len(n.sandboxes) != count {
		return fmt.Errorf("%s has %d sandboxes, want %d", n.root, len(n.sandboxes), count)
	}
	return nil
}

// sandboxOf returns the process of the sandbox of a state file.
func sandboxOf(file string) (pid int, err error) {
	var state struct{ Sandbox struct{ PID int } }
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &state)
	}
	return state.Sandbox.PID, err
}

// cpu returns the CPU time of all sandboxes by the clocks of their processes.
func (n *node) cpu() (sum time.Duration, err error) {
	for _, pid := range n.sandboxes {
		used, err := cpuOf(pid)
		if err != nil {
			return 0, fmt.Errorf("CPU clock of sandbox process %d: %w", pid, err)
		}
		sum += used
	}
	return sum, nil
}

// A nodeTrial is a way to scrape the node, and what it costs.
type nodeTrial struct {
	name      string
	server    *server // nil: no scrape
	scrapes   []cost
	sandboxes []cost // CPU of all sandboxes
}

type nodeTrials []*nodeTrial

// startTrials starts a server for each trial, and scrapes it once. They are measured in turn, since
// the machine changes with time.
func (n *node) startTrials(ctx context.Context, program string) (nodeTrials, error) {
	trials := nodeTrials{{name: "no scrape"}}
	for _, flags := range [][]string{{noUsage}, {"--usage=own"}, {"--usage=own,cadvisor"}, {"--usage=own,detail"}} {
		s, err := startServer(ctx, program, n.root, 0, flags...)
		if err == nil {
			trials = append(trials, &nodeTrial{name: "`" + strings.Join(flags, " ") + "`", server: s})
			_, _, err = s.scrape(fleet{scrapers: 1})
		}
		if err != nil {
			trials.stop()
			return nil, err
		}
	}
	return trials, nil
}

func (trials nodeTrials) stop() {
	for _, t := range trials {
		if t.server != nil {
			t.server.stop()
		}
	}
}

// run measures rounds of all trials, and prints their rows.
func (trials nodeTrials) run(ctx context.Context, n *node, rounds int) error {
	for range rounds {
		for _, t := range trials {
			if err := t.measure(n); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	for _, t := range trials {
		fmt.Println(t.row(len(n.sandboxes)))
	}
	return nil
}

// measure measures one scrape.
func (t *nodeTrial) measure(n *node) error {
	before, err := n.cpu()
	if err != nil {
		return err
	}
	var scrape cost
	if t.server != nil {
		if scrape, _, err = t.server.scrape(fleet{scrapers: 1}); err != nil {
			return err
		}
	}
	time.Sleep(settleTime)
	after, err := n.cpu()
	t.scrapes = append(t.scrapes, scrape)
	t.sandboxes = append(t.sandboxes, cost{cpu: after - before})
	return err
}

func (t *nodeTrial) row(sandboxes int) string {
	inside, scrape := median(t.sandboxes).cpu, median(t.scrapes)
	row := fmt.Sprintf("| %s | %.1f | %.0f |", t.name, ms(inside), 1000*ms(inside)/float64(sandboxes))
	if t.server == nil {
		return row + " | |"
	}
	return row + fmt.Sprintf(" %.1f | %.1f |", ms(scrape.cpu), ms(scrape.wall))
}
