package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const nodeHeader = `| %d real sandboxes, one scrape | CPU in the sandboxes ms | per sandbox µs | CPU in the server ms | wall ms |
| --- | --- | --- | --- | --- |
`

// settleTime is how long a sandbox may work on a scrape after it has replied, for example to close
// the connection.
const settleTime = 50 * time.Millisecond

// node prints what a scrape costs real sandboxes and the server, with and without usage. The first row has
// no scrape: it is what idle sandboxes use by themselves in the same time.
func (b *bench) node(args []string) {
	count := b.flags.Int("sandboxes", 50, "Number of sandboxes.")
	b.rounds = 30
	check(b.flags.Parse(args))
	n := start(b.lab, "node", "--sandboxes", strconv.Itoa(*count))
	defer n.stop()
	var root string
	line := must(n.out.ReadString('\n'))
	must(fmt.Sscanf(line, "Running %d sandboxes in %s until", count, &root))
	sandboxes := sandboxProcesses(root)
	if len(sandboxes) != *count {
		check(fmt.Errorf("%s has %d sandboxes, want %d", root, len(sandboxes), *count))
	}
	inside := func() (sum time.Duration) {
		for _, pid := range sandboxes {
			sum += cpuOf(pid)
		}
		return sum
	}
	measure := func(scrape func() cost) func() cost {
		return func() cost {
			before := inside()
			c := scrape()
			time.Sleep(settleTime)
			c.inside = inside() - before
			return c
		}
	}
	usages := []string{noUsage, "--usage=own", "--usage=own,cadvisor", "--usage=own,detail"}
	trials := []func() cost{measure(func() cost { return cost{} })}
	for _, usage := range usages {
		s := b.startServer(root, usage)
		defer s.stop()
		s.scrape(fleet{}) // has work that is done once
		trials = append(trials, measure(func() cost { return s.scrape(fleet{}) }))
	}
	fmt.Printf(nodeHeader, *count)
	for i, c := range b.inTurn(trials...) {
		used := fmt.Sprintf("%.1f | %.0f", ms(c.inside), 1000*ms(c.inside)/float64(*count))
		if i == 0 {
			fmt.Printf("| no scrape | %s | | |\n", used)
		} else {
			fmt.Printf("| `%s` | %s | %.1f | %.1f |\n", usages[i-1], used, ms(c.cpu), ms(c.wall))
		}
	}
}

// sandboxProcesses returns the processes of the sandboxes of a runtime root.
func sandboxProcesses(root string) (pids []int) {
	for _, file := range must(filepath.Glob(filepath.Join(root, "*.state"))) {
		var state struct{ Sandbox struct{ PID int } }
		check(json.Unmarshal(must(os.ReadFile(file)), &state))
		pids = append(pids, state.Sandbox.PID)
	}
	return pids
}
