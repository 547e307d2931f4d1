package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/cli"
)

func TestParseWorkload(t *testing.T) {
	check := func(words string, want workload) {
		t.Helper()
		if got, err := parseWorkload(strings.Fields(words)); err != nil || got != want {
			t.Errorf("workload %s is %v, %v; want %v", words, got, err, want)
		}
	}
	check("idle", workload{kind: workloadIdle, every: busyEvery})
	check("exit", workload{kind: workloadExit, every: busyEvery})
	check("idle 143", workload{kind: workloadIdle, every: busyEvery, status: 143})
	check("exit 3", workload{kind: workloadExit, every: busyEvery, status: 3})
	check("busy", workload{kind: workloadBusy, every: 4 * time.Millisecond})
	check("busy 1.5s", workload{kind: workloadBusy, every: 1500 * time.Millisecond})
	check("touch 0", workload{kind: workloadTouch, every: busyEvery})
	check("touch 100", workload{kind: workloadTouch, every: busyEvery, opens: 100})

	check("live 100 1.5s", workload{kind: workloadLive, every: busyEvery, opens: 100, life: 1500 * time.Millisecond})

	check("use 0s 1 2", workload{kind: workloadUse, every: busyEvery, use: use{memory: 1, processes: 2}})
	check("use 1.5s 1 2 3 a:9", workload{kind: workloadUse, every: busyEvery, use: use{1500 * time.Millisecond, 1, 2, 3, "a:9"}})

	check("burn 1.5s", workload{kind: workloadBurn, every: busyEvery, use: use{cpu: 1500 * time.Millisecond}})
	check("spawn 3 10ms", workload{kind: workloadSpawn, every: busyEvery, spawn: 3, use: use{cpu: 10 * time.Millisecond}})

	w := newWorld(t)
	for _, words := range []string{"nonsense", "idle 256", "idle 1 2", "exit -1", "exit x", "touch", "touch -1", "touch 2147483648", "live", "live 1", "live -1 1s", "live 1 1", "busy 0", "busy 5", "busy -1s", "busy 0s", "busy fast",
		"use", "use 1 2 3", "use 1s 2", "use 1s 2 3 4", "use 1s 2 -3", "use 1s 2000000 3", "burn", "burn 1", "spawn 1", "spawn -1 1s", "spawn 1 1"} {
		if code, _, err := w.command("workload -- " + words); code != cli.ExitUsage || strings.Count(err, "\n") != 1 {
			t.Errorf("workload %s: exits with %d and says %s", words, code, err)
		}
	}
}

// TestBusyWorkload: the workload runs until it is stopped, without an error.
func TestBusyWorkload(t *testing.T) {
	for _, words := range []string{"busy 10us", "busy 30ms", "busy", "idle", "use 1ms 1 0"} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		w, err := parseWorkload(strings.Fields(words))
		if err == nil {
			err = w.run(ctx)
		}
		if err != nil || ctx.Err() == nil {
			t.Errorf("workload %s ends with %v", words, err)
		}
		cancel()
	}
}
