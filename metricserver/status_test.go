package metricserver

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/api"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// TestStatus: a server describes itself, also as a drop-in.
func TestStatus(t *testing.T) {
	for _, dropIn := range []bool{false, true} {
		w := newWorld(t)
		w.start(simulate.Spec{ID: "good"})
		w.start(simulate.Spec{ID: "broken", PID: os.Getppid()})
		given := map[string]string{"root": w.root}
		r := w.run(w.server(Options{DropIn: dropIn, Given: given, Version: "1.0", Addresses: []string{w.path("socket")}, Usage: []string{UsageOwn}, Logger: slog.New(slog.DiscardHandler)}))
		status, body, err := r.get("/api/v1/status")
		w.must(err)
		var s api.Status
		if err := json.Unmarshal([]byte(body), &s); err != nil || status != 200 {
			t.Fatalf("%d: %s: %v", status, body, err)
		}
		if *s.Version != "1.0" || s.Process.PID != os.Getpid() || *s.Process.PIDNamespace == 0 || *s.Limits.OpenFiles == 0 || s.SnapshotTime == nil ||
			!slices.Equal(s.Listeners, []string{w.path("socket")}) || s.Settings.Given["root"] != w.root || (s.Settings.Resolved["drop-in"] != "") != dropIn ||
			s.Settings.Resolved["sandbox-timeout"] != ample.String() || len(s.UsageSources) == 0 {
			t.Errorf("%s", body)
		}
		if len(s.RuntimeRoots) != 1 || s.RuntimeRoots[0].Path != w.root || s.RuntimeRoots[0].State != api.RootOK {
			t.Errorf("the runtime roots are %+v", s.RuntimeRoots)
		}
		if broken := s.Sandboxes[0]; len(s.Sandboxes) != 2 || broken.ID != "broken" || *broken.Reason != "wrong_peer" || *broken.Detail == "" || broken.Phase != "running" {
			t.Errorf("the sandboxes are %s", body)
		}
		if len(s.Problems) == 0 || s.Problems[0].Level != "warn" || !strings.Contains(s.Problems[0].Details, "reason=wrong_peer") {
			t.Errorf("the problems are %+v", s.Problems)
		}
	}
}

// TestStatusOfRoots: the state of each runtime root, and its unreadable files.
func TestStatusOfRoots(t *testing.T) {
	w := newWorld(t)
	w.must(os.WriteFile(w.root+"/x_sandbox:x.state", []byte("{"), 0o600))
	w.must(os.WriteFile(w.path("file"), nil, 0o600))
	h, err := w.server(Options{Roots: []string{w.root, w.path("none"), w.path("file")}}).Handler()
	w.must(err)
	defer h.Close()
	var s api.Status
	for len(s.RuntimeRoots) == 0 || len(s.RuntimeRoots[0].Unreadable) == 0 { // after the file has failed for a second
		text, err := h.Status(t.Context())
		w.must(err)
		s = api.Status{}
		w.must(json.Unmarshal(text, &s))
	}
	if none := h.status(nil, fs.ErrPermission).(*api.Status); none.SnapshotTime != nil || *none.SnapshotError != fs.ErrPermission.Error() {
		t.Errorf("without a snapshot: %+v", none)
	}
	var got []string
	for _, r := range s.RuntimeRoots {
		got = append(got, r.State)
	}
	if want := []string{api.RootOK, api.RootMissing, api.RootUnreadable}; !slices.Equal(got, want) || s.RuntimeRoots[0].Unreadable[0].File != "x_sandbox:x.state" {
		t.Errorf("%q, want %q: %+v", got, want, s.RuntimeRoots)
	}
}

// TestSettingsOf: settings that are set are listed with the names of their flags.
func TestSettingsOf(t *testing.T) {
	o := Options{DropIn: true, Roots: []string{"/a", "/b"}, MatchAddress: ":1", MaxAge: 1, EnableRegistering: true, Usage: []string{UsageOff}}
	const want = "map[drop-in:true match-address::1 max-age:1ns metric-naming:runsc root:/a,/b sandbox-timeout:2s usage:off " +
		"web.enable-registration:true web.socket-mode:0660 web.telemetry-path:/metrics zero-counters:off]"
	if got := fmt.Sprint(settingsOf(&o)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestProblems: the newest warnings and errors are kept, with the attributes of their logger.
func TestProblems(t *testing.T) {
	var p problems
	log := p.logger(slog.New(slog.DiscardHandler)).With("server", 1)
	log.Info("no problem")
	for i := range maxProblems {
		log.Warn(fmt.Sprint("warning ", i))
	}
	log.Error("broken", "err", strings.Repeat("x", 2*maxDetailSize))
	kept := p.newest()
	first, last := kept[0], kept[maxProblems-1]
	if len(kept) != maxProblems || first.Message != "warning 1" || first.Details != "server=1" || time.Since(first.Time) > time.Hour ||
		last.Level != "error" || !strings.HasPrefix(last.Details, "server=1 err=xxx") || len(last.Details) != maxDetailSize {
		t.Errorf("%+v", kept)
	}
}
