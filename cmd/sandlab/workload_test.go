package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/cli"
)

func TestWorkloadWrongUsage(t *testing.T) {
	w := newWorld(t)
	for _, words := range []string{"nonsense", "idle 256", "idle 1 2", "exit -1", "touch", "touch 2147483648", "live 1", "live 1 1", "busy 0s", "busy fast",
		"use 1s 2", "use 1s 2 3 4", "use 1s 2 -3", "burn 1", "spawn 1 1"} {
		if code, _, err := w.command("workload -- " + words); code != cli.ExitUsage || strings.Count(err, "\n") != 1 {
			t.Errorf("workload %s: exits with %d and says %s", words, code, err)
		}
	}
}

// TestBusyWorkload: the workload runs until it is stopped, without an error.
func TestBusyWorkload(t *testing.T) {
	for _, words := range []string{"busy 10us", "busy 30ms", "busy", "idle", "touch 0", "use 1ms 1 0"} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		run, err := parseWorkload(strings.Fields(words))
		if err == nil {
			err = run(ctx, "/proc/self/exe")
		}
		if err != nil || ctx.Err() == nil {
			t.Errorf("workload %s ends with %v", words, err)
		}
		cancel()
	}
}
