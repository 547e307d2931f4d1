package simulate_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// TestFinalLog: the log is empty until the sandbox ends, and then has its values in the form that
// the server accepts.
func TestFinalLog(t *testing.T) {
	registration, values := simulate.WithDistribution()
	root := testkit.TempDir(t)
	spec := simulate.Spec{ID: "a", FinalLog: filepath.Join(root, "log"), Registration: registration, Points: values}
	began := time.Now()
	s := testkit.Start(t, root, spec)
	if log, err := os.ReadFile(spec.FinalLog); err != nil || len(log) > 0 {
		t.Fatalf("at the start: %q, %v", log, err)
	}
	if err := s.Set(simulate.Point{Metric: "fs_opens", Int: 1234}); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	sch, err := schema.Compile(registration.JSON())
	if err != nil {
		t.Fatal(err)
	}
	reply, err := control.ReadFinalLog(spec.FinalLog, sch.MaxFinalLog())
	if err != nil {
		t.Fatal(err)
	}
	b, err := new(verify.Verifier).FinalLog(reply, sch, verify.Baseline{}, began, time.Now())
	if err != nil {
		t.Fatalf("%v\n%s", err, reply.Untrusted())
	}
	if len(b.Samples) != 8 { // those of Idle and two gauges, without the distribution
		t.Errorf("got %d samples", len(b.Samples))
	}
	if log := reply.Untrusted(); !bytes.Contains(log, []byte("\nrunsc_fs_opens 1234 ")) || !bytes.Contains(log, []byte(`{sysno="334"} 6 `)) {
		t.Errorf("got\n%s", log)
	}
}

func TestEditFinalLog(t *testing.T) {
	write := func(edit func([]byte) []byte) (control.Reply, error) {
		t.Helper()
		root := testkit.TempDir(t)
		spec := simulate.Spec{ID: "a", FinalLog: filepath.Join(root, "log"), EditFinalLog: edit}
		testkit.Start(t, root, spec).Stop()
		return control.ReadFinalLog(spec.FinalLog, 1<<20)
	}
	if reply, err := write(func([]byte) []byte { return []byte("lies") }); err != nil || string(reply.Untrusted()) != "lies" {
		t.Errorf("got %q, %v", reply.Untrusted(), err)
	}
	if reply, err := write(func([]byte) []byte { return nil }); !errors.Is(err, control.ErrNoFinalMetrics) {
		t.Errorf("killed: got %q, %v", reply.Untrusted(), err)
	}
}
