package metricserver

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

func TestExport(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "a"})
	export := func(root, id, filter string) (string, error) {
		var page strings.Builder
		err := Export(t.Context(), Options{Roots: []string{root}}, id, filter, &page)
		return page.String(), err
	}
	if page, err := export(w.root, "a", ""); err != nil || !strings.Contains(page, "\nrunsc_fs_opens_total{") {
		t.Errorf("%v, and the page is\n%s", err, page)
	}
	if page, err := export(w.root, "a", "^fs_r"); err != nil || strings.Count(page, "{") != 1 || !strings.Contains(page, "\nrunsc_fs_reads_total{") {
		t.Errorf("%v, and the page of a filter is\n%s", err, page)
	}
	fails := func(root, id, filter, want string, is error) {
		t.Helper()
		page, err := export(root, id, filter)
		if err == nil || !strings.HasPrefix(err.Error(), want) || !errors.Is(err, is) || page != "" {
			t.Errorf("%v, want %s; the page is %q", err, want, page)
		}
	}
	missing := w.path("missing")
	fails(w.root, "a", "^runsc_", `sandbox "a": no metric matches "^runsc_"`, ErrNoMatch)
	fails(w.root, "b", "", `there is no sandbox "b" in runtime root `+w.root, ErrNoSandbox)
	fails(missing, "a", "", "read runtime root "+missing+": no such file or directory", fs.ErrNotExist)
	if _, err := export(missing, "a", ""); !errors.As(err, new(*RootError)) {
		t.Errorf("%#v is no RootError", err)
	}
	if _, err := export(w.root, "a", "("); err == nil || !strings.HasPrefix(err.Error(), "filter: ") {
		t.Errorf("a wrong filter: %v", err)
	}
}
