package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// targetScrapes is how many targets are scraped at once.
const targetScrapes = 8

// manyTargets scrapes each of 1,000 sandboxes as a target of its own, and then 10 shards, as
// service discovery of a node does.
func manyTargets(_ context.Context, s *server) (string, error) {
	var one []cost
	for range 10 {
		c, _, err := s.scrape(fleet{scrapers: 1})
		if err != nil {
			return "", err
		}
		one = append(one, c)
	}
	var targets, shards []string
	for i := range 1000 {
		targets = append(targets, fmt.Sprintf("/metrics?sandbox=sim-%04d", i))
	}
	for i := range 10 {
		shards = append(shards, fmt.Sprintf("/metrics?shard=%d/10", i))
	}
	single, err := s.cpuOf(targets, targetScrapes)
	if err != nil {
		return "", err
	}
	parts, err := s.cpuOf(shards, 1)
	whole := ms(median(one).cpu)
	return fmt.Sprintf("%.0f × for the targets, %.1f × for the shards (%.0f ms for one scrape)", single/whole, parts/whole, whole), err
}

// cpuOf returns the CPU time of the server, in milliseconds, for scrapes of all paths, of which each
// has to have metrics, with a number of scrapes at once.
func (s *server) cpuOf(paths []string, atOnce int) (float64, error) {
	before, err := s.cpu()
	if err != nil {
		return 0, err
	}
	errs := make([]error, len(paths))
	var wait sync.WaitGroup
	for first := range atOnce {
		wait.Go(func() {
			for i := first; i < len(paths); i += atOnce {
				page, err := s.page(paths[i], "10")
				if err == nil && sandboxes(page) == 0 {
					err = fmt.Errorf("%s has no metrics", paths[i])
				}
				errs[i] = err
			}
		})
	}
	wait.Wait()
	after, err := s.cpu()
	return ms(after - before), errors.Join(append(errs, err)...)
}
