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
	filtered := func(root, id, filter string) (string, error) {
		var page strings.Builder
		err := Export(t.Context(), Options{Roots: []string{root}}, id, filter, &page)
		return page.String(), err
	}
	export := func(root, id string) (string, error) { return filtered(root, id, "") }
	if page, err := export(w.root, "a"); err != nil || !strings.Contains(page, "\nrunsc_fs_opens_total{") {
		t.Errorf("%v, and the page is\n%s", err, page)
	}
	if page, err := filtered(w.root, "a", "^fs_r"); err != nil || strings.Count(page, "{") != 1 || !strings.Contains(page, "\nrunsc_fs_reads_total{") {
		t.Errorf("%v, and the page of a filter is\n%s", err, page)
	}
	if page, err := filtered(w.root, "a", "^runsc_"); !errors.Is(err, ErrNoMatch) || err.Error() != `sandbox "a": no metric matches "^runsc_"` || page != "" {
		t.Errorf("%v, and the page of a filter that matches nothing is\n%s", err, page)
	}
	if page, err := filtered(w.root, "a", "("); err == nil || !strings.HasPrefix(err.Error(), "filter: ") || page != "" {
		t.Errorf("%v, and the page of a wrong filter is\n%s", err, page)
	}
	fails := func(root, id, want string) (err error) {
		t.Helper()
		page, err := export(root, id)
		if err == nil || err.Error() != want || page != "" {
			t.Errorf("%s of %s: %v, want %s; the page is %q", id, root, err, want, page)
		}
		return err
	}
	if err := fails(w.root, "b", `there is no sandbox "b" in runtime root `+w.root); !errors.Is(err, ErrNoSandbox) {
		t.Errorf("%v is no ErrNoSandbox", err)
	}
	missing := w.path("missing")
	err := fails(missing, "a", "read runtime root "+missing+": no such file or directory")
	if !errors.As(err, new(*RootError)) || !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNoSandbox) {
		t.Errorf("%#v is no RootError", err)
	}
}
