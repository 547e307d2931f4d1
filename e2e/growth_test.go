package e2e

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestValuesGrowWithWorkDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const opens = 100
	w.start("none", "touch", "0")
	w.start("some", "touch", strconv.Itoa(opens))
	w.serve()
	// The program makes the same number of opens at its start in both.
	var start float64
	w.until(func() error {
		p := w.scrape()
		none, _ := p.value("runsc_fs_opens", "sandbox", "none")
		some, _ := p.value("runsc_fs_opens", "sandbox", "some")
		if some != none+opens {
			return fmt.Errorf("%v file opens without the workload's, %v with %d of them", none, some, opens)
		}
		start = none
		return nil
	})
	for rounds := 2; rounds <= 3; rounds++ {
		w.must(w.node.Kill(w.ctx(), "some", unix.SIGUSR1))
		w.untilValue(start+float64(rounds*opens), "runsc_fs_opens", "sandbox", "some")
	}
	w.scrape().wantValue(t, start, "runsc_fs_opens", "sandbox", "none")
}

func TestMetadataBeforeAndAfterStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.container("sb", "idle")
	c.OCIVersion = "1.2.1"
	w.must(w.node.Create(w.ctx(), c))
	w.serve()
	created := w.scrape()
	w.must(w.node.Start(w.ctx(), "sb"))
	started := w.scrape()
	for _, p := range []page{created, started} {
		p.wantValue(t, 1, "runsc_meta_sandbox_presence", "sandbox", "sb")
		p.wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", "sb")
		p.wantValue(t, 1, "runsc_meta_sandbox_metadata", "sandbox", "sb", "platform", "systrap", "network", "none")
		p.wantValue(t, 1, "runsc_meta_spec_metadata", "sandbox", "sb", "hasuid0", "true", "ociversion", "1.2.1")
		p.wantValue(t, 1, "runsc_meta_num_sandboxes_running")
		p.wantValue(t, 0, "runsc_meta_num_sandboxes_broken_metrics")
		want := float64(stateOf(w, "sb").CreatedAt.UnixNano()) / 1e9
		if got, _ := p.value("runsc_meta_sandbox_creation_time_seconds", "sandbox", "sb"); math.Abs(got-want) > 1e-6 {
			t.Errorf("creation time is %f, want %f", got, want)
		}
	}
}

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
