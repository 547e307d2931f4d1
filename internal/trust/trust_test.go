package trust

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWriters: a directory, its parents, and the parents of links to it count.
func TestWriters(t *testing.T) {
	base := t.TempDir()
	dir, link := filepath.Join(base, "parent", "dir"), filepath.Join(base, "links", "link")
	for _, path := range []string{dir, filepath.Dir(link)} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	check := func(name, path, changed string, mode os.FileMode, want string) {
		t.Helper()
		changed = filepath.Join(base, changed)
		if err := os.Chmod(changed, mode); err != nil {
			t.Fatal(err)
		}
		defer os.Chmod(changed, 0o755)
		who, err := Writers(path, os.Geteuid())
		if who = strings.ReplaceAll(who, base, ""); err != nil || who != want {
			t.Errorf("%s: %q, %v, want %q", name, who, err, want)
		}
	}
	const sticky = os.ModeSticky
	check("nobody else", dir, "parent", 0o755, "")
	check("everybody", dir, "parent/dir", 0o757, "/parent/dir is writable by everybody (mode 0757)")
	check("everybody, with the sticky bit", dir, "parent/dir", 0o777|sticky, "/parent/dir is writable by everybody (mode 0777)")
	check("everybody may write a parent", dir, "parent", 0o777, "/parent is writable by everybody (mode 0777)")
	check("everybody may write a parent, with the sticky bit", dir, "parent", 0o777|sticky, "")
	check("everybody may replace a link", link, "links", 0o777, "/links is writable by everybody (mode 0777)")
	check("everybody may write the target of a link", link, "parent/dir", 0o777, "/links/link is writable by everybody (mode 0777)")
	if who, err := Writers(dir, os.Geteuid()+1); os.Geteuid() != 0 && (err != nil || !strings.Contains(who, "belongs to user")) {
		t.Errorf("of another user: %q, %v", who, err)
	}
	if _, err := Writers(filepath.Join(base, "none"), 0); err == nil {
		t.Error("a directory that does not exist has no error")
	}
}
