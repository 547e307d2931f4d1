package simulate

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fileState has the fields of a state file that tests look at.
type fileState struct {
	ID, Status string
	CreatedAt  time.Time
	Spec       struct {
		OCIVersion  string
		Process     struct{ User struct{ UID int } }
		Annotations map[string]string
	}
	Sandbox struct {
		ID, MetricServerAddress, ControlSocketPath string
		PID                                        int
		Restored                                   bool
		CPUTimeSaved                               time.Duration
		RegisteredMetrics                          json.RawMessage
	}
}

func readState(t *testing.T, s *Sandbox, containerID string) (state fileState) {
	t.Helper()
	b, err := os.ReadFile(s.StatePath(containerID))
	must(t, err)
	must(t, json.Unmarshal(b, &state))
	return state
}

func names(t *testing.T, root string) []string {
	t.Helper()
	entries, err := os.ReadDir(root)
	must(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestPodHasAStateFileForEachContainer(t *testing.T) {
	root := t.TempDir()
	s := mustStart(t, root, Spec{
		ID: "pod", Pod: "web", Namespace: "prod",
		Root: Container{UID: 7},
		More: []Container{{ID: "app", OCIVersion: "1.1.0", Annotations: map[string]string{"a": "b"}}},
	})
	want := []string{
		"app_sandbox:pod.lock", "app_sandbox:pod.state", "pod_sandbox:pod.lock", "pod_sandbox:pod.state", "runsc-pod.sock",
	}
	if got := names(t, root); !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	main, app := readState(t, s, ""), readState(t, s, "app")
	if main.Spec.Process.User.UID != 7 || main.Spec.Annotations["io.kubernetes.cri.container-type"] != "sandbox" {
		t.Errorf("root container: %+v", main.Spec)
	}
	if app.ID != "app" || app.Sandbox.ID != "pod" || app.Spec.OCIVersion != "1.1.0" || app.Spec.Annotations["a"] != "b" ||
		app.Spec.Annotations["io.kubernetes.cri.container-type"] != "container" {
		t.Errorf("other container: %+v", app)
	}

	must(t, s.Update(func(spec *Spec) { spec.More = []Container{{ID: "job"}} }))
	want[0], want[1] = "job_sandbox:pod.lock", "job_sandbox:pod.state"
	if got := names(t, root); !slices.Equal(got, sorted(want)) {
		t.Errorf("files after Update %q, want %q", got, sorted(want))
	}
	must(t, s.Remove())
	if got := names(t, root); len(got) > 0 {
		t.Errorf("files after Remove: %q", got)
	}
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

func TestUpdateRewritesInPlace(t *testing.T) {
	s := mustStart(t, t.TempDir(), Spec{ID: "a"})
	before := readState(t, s, "")
	file, err := os.Stat(s.StatePath(""))
	must(t, err)
	must(t, s.Update(func(spec *Spec) {
		spec.Root.Status = "stopped"
		spec.PID = -1
		spec.Restored = true
		spec.CPUTimeSaved = -3 * time.Second
	}))
	after := readState(t, s, "")
	if after.Status != "stopped" || after.Sandbox.PID != 0 || !after.Sandbox.Restored || after.Sandbox.CPUTimeSaved != -3*time.Second {
		t.Errorf("state: %+v", after)
	}
	if before.Status != "running" || before.Sandbox.PID != os.Getpid() || !after.CreatedAt.Equal(before.CreatedAt) {
		t.Errorf("state before: %+v", before)
	}
	if now, err := os.Stat(s.StatePath("")); err != nil || !os.SameFile(file, now) {
		t.Error("Update made another file")
	}
}

func TestUninstrumented(t *testing.T) {
	s := mustStart(t, t.TempDir(), Spec{ID: "a", Uninstrumented: true})
	state := readState(t, s, "").Sandbox
	if state.MetricServerAddress != "" || string(state.RegisteredMetrics) != "null" {
		t.Errorf("address %q, registration %.20s", state.MetricServerAddress, state.RegisteredMetrics)
	}
}

func TestLockIsExclusive(t *testing.T) {
	s := mustStart(t, t.TempDir(), Spec{ID: "a"})
	unlock, err := s.Lock("")
	must(t, err)
	f, err := os.Open(s.LockPath(""))
	must(t, err)
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != unix.EWOULDBLOCK {
		t.Errorf("a second lock: %v", err)
	}
	unlock()
	must(t, unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB))
}

func TestStopLeavesEverything(t *testing.T) {
	root := t.TempDir()
	s := mustStart(t, root, Spec{ID: "a"})
	before := names(t, root)
	s.Stop()
	s.Stop()
	if after := names(t, root); !slices.Equal(before, after) || !slices.Contains(after, "runsc-a.sock") {
		t.Errorf("files %q, were %q", after, before)
	}
	again := mustStart(t, root, Spec{ID: "a"})
	if reply := ask(t, again.SocketPath(), exportAll); len(export(t, reply).Data) != 8 {
		t.Errorf("second life: %s", reply)
	}
}
