package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

const usageHeader = `
| usage of 1,000 sandboxes with their own processes | off CPU ms | own CPU ms | CPU ratio | off wall ms | own wall ms | first scrape, own ms |
| --- | --- | --- | --- | --- | --- | --- |`

// measureUsage compares servers with --usage=own and off, and prints a row for cgroups only, and
// one for all that the host measures.
func (b bench) measureUsage(ctx context.Context) error {
	parents, err := makeCgroups()
	defer func() {
		for _, dir := range parents {
			os.Remove(dir)
		}
	}()
	if err != nil {
		return fmt.Errorf("make cgroups, which needs root: %w", err)
	}
	f := fleet{sandboxes: 1000, points: 60, scrapers: 1}
	for _, dir := range parents {
		f.flags = append(f.flags, "--cgroups", dir)
	}
	fmt.Println(usageHeader)
	// Without a network namespace of its own, a sandbox has no figures for its network.
	for _, kind := range []struct {
		name  string
		flags []string
	}{{"cgroups", nil}, {"cgroups and networks", []string{"--networks"}}} {
		with := f
		with.flags = append(kind.flags, f.flags...)
		row, err := b.compareUsage(ctx, with)
		if err != nil {
			return err
		}
		fmt.Printf("| %s %s |\n", kind.name, row)
	}
	return nil
}

// makeCgroups makes a cgroup for the fleet in each hierarchy that is read, of cgroup v1 or v2.
func makeCgroups() (dirs []string, err error) {
	name := fmt.Sprintf("sandmeter-bench-%d", os.Getpid())
	for _, controller := range []string{"cpuacct", "cpu", "memory", "pids"} {
		dir := filepath.Join("/sys/fs/cgroup", controller, name)
		if err := os.Mkdir(dir, 0o755); os.IsNotExist(err) {
			continue // cgroup v2
		} else if err != nil {
			return dirs, err
		}
		dirs = append(dirs, dir)
	}
	if len(dirs) > 0 {
		return dirs, nil
	}
	dir := filepath.Join("/sys/fs/cgroup", name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	return []string{dir}, os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+cpu +memory +pids"), 0)
}

// compareUsage measures two servers of the same fleet in turn.
func (b bench) compareUsage(ctx context.Context, f fleet) (string, error) {
	sim, err := startFleet(ctx, b.lab, f)
	if err != nil {
		return "", err
	}
	defer sim.stop()
	off, err := startServer(ctx, b.program, sim.root, 0, onlySent, noUsage)
	if err != nil {
		return "", err
	}
	defer off.stop()
	own, err := startServer(ctx, b.program, sim.root, 0, onlySent, "--usage=own")
	if err != nil {
		return "", err
	}
	defer own.stop()
	if _, _, err := off.scrape(f); err != nil {
		return "", err
	}
	first, _, err := own.scrape(f)
	if err != nil {
		return "", err
	}
	var without, with []cost
	for range b.rounds {
		a, _, err := off.scrape(f)
		if err != nil {
			return "", err
		}
		b, _, err := own.scrape(f)
		if err != nil {
			return "", err
		}
		without, with = append(without, a), append(with, b)
	}
	low, got := median(without), median(with)
	return fmt.Sprintf("| %.1f | %.1f | %.2f | %.1f | %.1f | %.0f", ms(low.cpu), ms(got.cpu), ms(got.cpu)/ms(low.cpu), ms(low.wall), ms(got.wall), ms(first.wall)), nil
}
