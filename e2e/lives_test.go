package e2e

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/runsc"
)

// wantLives fails the test unless the page of metric-server has exactly the running sandboxes,
// with values. Ended sandboxes are not on it, even if their state files exist.
func (p page) wantLives(t *testing.T, running, ended []string) {
	t.Helper()
	p.wantRunning(t, running, running)
	for _, id := range ended {
		p.wantNone(t, "runsc_meta_sandbox_presence", "sandbox", id)
	}
}

// wantRunning fails the test unless the page has exactly the given sandboxes, and those that run
// have values.
func (p page) wantRunning(t *testing.T, running, all []string) {
	t.Helper()
	if got := p.sandboxes(); !slices.Equal(got, all) {
		t.Errorf("sandboxes: %q, want %q", got, all)
	}
	for _, id := range running {
		p.wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", id)
		p.wantValue(t, 1, alwaysThere, "sandbox", id)
		p.wantValue(t, 1, "runsc_meta_sandbox_metadata", "sandbox", id)
	}
	p.wantValue(t, float64(len(running)), "runsc_meta_num_sandboxes_running")
	p.wantValue(t, 0, "runsc_meta_num_sandboxes_broken_metrics")
}

// pod adds containers to a pod.
func (w *world) pod(pod runsc.Pod) (add func(id string, change func(*runsc.Container))) {
	return func(id string, change func(*runsc.Container)) {
		w.t.Helper()
		c := w.container(id, "idle")
		c.Annotations = pod.Annotations(id)
		change(&c)
		w.must(w.node.Run(w.ctx(), c))
	}
}

func TestRestoredSandbox(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("original", "idle")
	w.serve()
	image, err := w.node.Checkpoint(w.ctx(), "original")
	w.must(err)
	w.remove("original")

	c := w.container("copy", "idle")
	w.must(w.node.Create(w.ctx(), c))
	p := w.scrape()
	p.wantLives(t, []string{"copy"}, nil)
	p.wantValue(t, 0, "runsc_meta_sandbox_restored", "sandbox", "copy")
	p.wantValue(t, 0, "runsc_meta_num_sandboxes_restored")
	for _, metric := range savings {
		p.wantValue(t, 0, metric, "sandbox", "copy")
	}

	w.must(w.node.Restore(w.ctx(), c, image))
	p = w.scrape()
	p.wantLives(t, []string{"copy"}, nil)
	p.wantValue(t, 1, "runsc_meta_sandbox_restored", "sandbox", "copy")
	p.wantValue(t, 1, "runsc_meta_num_sandboxes_restored")
	saved := func() []float64 {
		p := w.scrape()
		var values []float64
		for _, metric := range savings {
			v, ok := p.value(metric, "sandbox", "copy")
			if !ok {
				t.Errorf("%s is not there", metric)
			}
			values = append(values, v)
		}
		return values
	}
	var first []float64
	w.until(func() error {
		if first = saved(); slices.Max(first) == 0 && slices.Min(first) == 0 {
			return errNot("something was saved")
		}
		return nil
	})
	if again := saved(); !slices.Equal(again, first) {
		t.Errorf("the savings were %v and are %v", first, again)
	}
}

// savings has the families of the time that a restored sandbox saved. Values may be negative.
var savings = []string{"runsc_meta_sandbox_cpu_time_saved_milliseconds", "runsc_meta_sandbox_wall_time_saved_milliseconds"}

// sandboxState has the fields of a state file that tests need, parsed without the code under test.
type sandboxState struct {
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"createdAt"`
	Sandbox   struct {
		Pid int `json:"pid"`
	} `json:"sandbox"`
}

func stateOf(w *world, id string) sandboxState {
	w.t.Helper()
	doc, err := os.ReadFile(filepath.Join(w.root, id+"_sandbox:"+id+".state"))
	w.must(err)
	var s sandboxState
	w.must(json.Unmarshal(doc, &s))
	return s
}

// iteration returns the value of the label iteration.
func (s sandboxState) iteration() string {
	sum := sha256.Sum256([]byte(s.ID + ":" + s.CreatedAt.UTC().String()))
	return strconv.FormatUint(binary.BigEndian.Uint64(sum[:]), 36)
}
