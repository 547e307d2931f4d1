package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sandmeter/sandmeter/internal/runsc"
)

// runDo runs `runsc do` a number of times, a few at a time. Each makes a runtime root of its own below a
// directory, and removes it.
func (w *world) runDo(below string, times, atATime int) {
	w.t.Helper()
	program := realRunsc(w.t)
	var runs sync.WaitGroup
	turns := make(chan struct{}, atATime)
	for range times {
		turns <- struct{}{}
		runs.Go(func() {
			defer func() { <-turns }()
			args := append(runsc.ReleaseFlags(program), "--platform=systrap", "--network=none", "--ignore-cgroups", "do", sandlab, "workload", "exit")
			run := exec.CommandContext(w.ctx(), program, args...)
			run.Env = append(os.Environ(), "TMPDIR="+below)
			if out, err := run.CombinedOutput(); err != nil {
				w.t.Errorf("runsc do: %v\n%s", err, out)
			}
		})
	}
	runs.Wait()
}

// TestDo: sandboxes of `runsc do`, which live for some tens of milliseconds, and whose roots come and go
// with them, are counted and recorded, each once. One in ten may be missed.
func TestDo(t *testing.T) {
	const times = 10
	w, below := newWorld(t), t.TempDir()
	r := w.record(t.TempDir(), "--root", filepath.Join(below, "runsc-do*"))
	w.runDo(below, times, 2)
	w.until(func() error {
		p, recorded := w.scrape(), 0
		for id, records := range r.records() {
			if recorded += len(records); len(records) != 1 {
				t.Fatalf("%s has %d records", id, len(records))
			}
		}
		started, _ := p.value("runsc_meta_num_sandboxes_total")
		ended := 0.0
		for _, s := range p.find("sandmeter_sandboxes_ended_total") {
			ended += s.value
		}
		if started < times-1 || started > times || started != ended || int(ended) != recorded {
			return fmt.Errorf("of %d sandboxes, %v have started, %v have ended, and %d have records", times, started, ended, recorded)
		}
		return nil
	})
	if roots, err := filepath.Glob(filepath.Join(below, "*")); err != nil || len(roots) != 0 {
		t.Errorf("left behind are %q, %v", roots, err)
	}
}
