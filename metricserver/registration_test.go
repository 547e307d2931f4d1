package metricserver

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

// uninstrumented returns a sandbox without a registration that was started by a simulated runsc.
func uninstrumented(id string) simulate.Spec {
	return simulate.Spec{
		ID: id, Uninstrumented: true, OwnProcess: true,
		Metadata: map[string]string{"version": "test", "go": runtime.Version(), "cpuarch": runtime.GOARCH},
		Registration: &simulate.Registration{Metrics: []simulate.Metric{
			{Name: "/fs/opens", PrometheusName: "fs_opens", Description: "Number of file opens.", Cumulative: true}}},
		Points: []simulate.Point{{Metric: "fs_opens", Int: 7}},
	}
}

// installRunsc makes the test binary a simulated runsc, and returns its path.
func (w *world) installRunsc() string {
	w.Helper()
	self, err := os.Executable()
	w.must(err)
	program, err := os.ReadFile(self)
	w.must(err)
	path := w.path("runsc-simulated")
	w.must(os.WriteFile(path, program, 0o700))
	return path
}

// TestRegistrationFile: a registration file is used where no runsc is found, and has to be valid.
func TestRegistrationFile(t *testing.T) {
	w := newWorld(t)
	w.start(uninstrumented("silent"))
	export := func(o Options) (string, error) {
		var page strings.Builder
		o.Roots = []string{w.root}
		err := Export(t.Context(), o, "silent", "", &page)
		return page.String(), err
	}
	w.must(os.WriteFile(w.path("good"), []byte(openedFiles), 0o600))
	w.must(os.WriteFile(w.path("other"), []byte(strings.ReplaceAll(openedFiles, "opens", "closes")), 0o600))
	w.must(os.WriteFile(w.path("bad"), []byte("metrics"), 0o600))
	if page, err := export(Options{Runsc: []string{w.path("none"), w.path("good")}}); err != nil || !strings.Contains(page, `sandbox="silent"} 7`+"\n") {
		t.Errorf("%v, and the page is\n%s", err, page)
	}
	if page, err := export(Options{Runsc: []string{w.installRunsc()}}); err != nil || !strings.Contains(page, `sandbox="silent"} 7`+"\n") {
		t.Errorf("with a runsc: %v, and the page is\n%s", err, page)
	}
	fails := func(o Options, want string) {
		t.Helper()
		page, err := export(o)
		if err == nil || strings.ReplaceAll(err.Error(), w.dir, "") != want || page != "" {
			t.Errorf("%v, want %s; the page is %s", err, want, page)
		}
	}
	fails(Options{Runsc: []string{w.path("other")}},
		`sandbox "silent": the registration of its build does not fit: reply refused: the metric is not registered ("fs_opens")`)
	fails(Options{Runsc: []string{w.path("bad")}}, `runsc: neither a program nor the output of runsc metric-metadata: /bad: not a registration: "unexpected EOF"`)
	fails(Options{Runsc: []string{w.path("good"), w.path("other")}}, `runsc "/other": a second file with a registration: name one`)
	fails(Options{Runsc: []string{RunscOff}}, `sandbox "silent": no metrics registered`)
}

// TestOnlyInstrumented: with the option, and for a drop-in replacement, sandboxes without a
// registration are as if they were not there.
func TestOnlyInstrumented(t *testing.T) {
	for _, o := range []Options{{Runsc: []string{RunscOff}}, {DropIn: true, ExporterPrefix: "runsc_"}} {
		w := newWorld(t)
		w.start(simulate.Spec{ID: "instrumented"})
		w.start(simulate.Spec{ID: "silent", Uninstrumented: true})
		o.Addresses = []string{"localhost:0"}
		if page := w.run(w.server(o)).page(); strings.Contains(page, `sandbox="silent"`) || !strings.Contains(page, `sandbox="instrumented"`) {
			t.Errorf("%+v: the page is\n%s", o, page)
		}
	}
}
