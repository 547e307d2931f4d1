package main

import (
	"fmt"
	"os"
	"path/filepath"
)

const usageHeader = `
| usage of 1,000 sandboxes with their own processes | off CPU ms | own CPU ms | CPU ratio | off wall ms | own wall ms | first scrape, own ms |
| --- | --- | --- | --- | --- | --- | --- |`

// usage compares servers with --usage=own and off, and prints a row for cgroups only, and one for all
// that the host measures: without a network namespace of its own, a sandbox has no figures for its network.
func (b *bench) usage() {
	cgroups, remove := makeCgroups()
	defer remove()
	fmt.Println(usageHeader)
	for _, kind := range []struct {
		name  string
		flags []string
	}{{"cgroups", nil}, {"cgroups and networks", []string{"--networks"}}} {
		f := thousand
		f.flags = append(kind.flags, cgroups...)
		b.compareUsage(kind.name, f)
	}
}

// compareUsage measures two servers of the same fleet in turn, and prints a row.
func (b *bench) compareUsage(name string, f fleet) {
	sim := b.startFleet(f)
	defer sim.stop()
	off := b.startServer(sim.root, onlySent, noUsage)
	defer off.stop()
	own := b.startServer(sim.root, onlySent, "--usage=own")
	defer own.stop()
	off.scrape(f)
	first := own.scrape(f)
	got := b.inTurn(func() cost { return off.scrape(f) }, func() cost { return own.scrape(f) })
	fmt.Printf("| %s | %.1f | %.1f | %.2f | %.1f | %.1f | %.0f |\n", name, ms(got[0].cpu), ms(got[1].cpu), ms(got[1].cpu)/ms(got[0].cpu),
		ms(got[0].wall), ms(got[1].wall), ms(first.wall))
}

// makeCgroups makes a cgroup for the fleet in each hierarchy that is read, of cgroup v1 or v2, and returns
// the flags of sandlab for them. remove removes them.
func makeCgroups() (flags []string, remove func()) {
	name := fmt.Sprintf("sandmeter-bench-%d", os.Getpid())
	var dirs []string
	for _, controller := range []string{"cpuacct", "cpu", "memory", "pids", ""} {
		dir := filepath.Join("/sys/fs/cgroup", controller, name)
		if controller == "" && len(dirs) > 0 {
			break // cgroup v1
		}
		if err := os.Mkdir(dir, 0o755); os.IsNotExist(err) {
			continue // cgroup v2
		} else if err != nil {
			check(fmt.Errorf("make cgroups, which needs root: %w", err))
		}
		dirs = append(dirs, dir)
		flags = append(flags, "--cgroups", dir)
		if controller == "" {
			check(os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+cpu +memory +pids"), 0))
		}
	}
	return flags, func() {
		for _, dir := range dirs {
			os.Remove(dir)
		}
	}
}
