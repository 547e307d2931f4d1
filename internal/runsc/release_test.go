package runsc

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestReleaseFlags(t *testing.T) {
	dir := t.TempDir()
	write := func(name string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	f := func(runsc string, want ...string) {
		t.Helper()
		if got := ReleaseFlags(runsc); !slices.Equal(got, want) {
			t.Errorf("ReleaseFlags(%q) = %q, want %q", runsc, got, want)
		}
	}
	const strict = "--sidecar-usage-policy=STRICT"
	release := write("release/runsc")
	write("release/gvisor-bin/gvisor_sentry")
	f(release, strict)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(release, link); err != nil {
		t.Fatal(err)
	}
	f(link, strict) // runsc looks beside the file, not beside the link

	f(write("alone/runsc"))
	withServer := write("with-server/runsc")
	write("with-server/gvisor-bin/runsc-metric-server") // of an older runsc whose metric server is replaced
	f(withServer)
	f(filepath.Join(dir, "none"))
}
