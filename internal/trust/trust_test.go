package trust

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
	check("everybody may write the target of a link", link, "parent/dir", 0o777, "/parent/dir is writable by everybody (mode 0777)")
	if who, err := Writers(dir, os.Geteuid()+1); os.Geteuid() != 0 && (err != nil || !strings.Contains(who, "belongs to user")) {
		t.Errorf("of another user: %q, %v", who, err)
	}
	chained := filepath.Join(base, "chained")
	link2, loop := filepath.Join(base, "link"), filepath.Join(base, "loop")
	for from, to := range map[string]string{link2: "chained/middle/../link", filepath.Join(chained, "link"): dir, loop: loop} {
		if err := os.MkdirAll(filepath.Join(chained, "middle"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, from); err != nil {
			t.Fatal(err)
		}
	}
	check("a chain of links", link2, "parent", 0o755, "")
	check("everybody may replace a link in a chain", link2, "chained", 0o777, "/chained is writable by everybody (mode 0777)")
	if who, err := Writers(loop, os.Geteuid()); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("a loop of links: %q, %v", who, err)
	}
	if os.Geteuid() == 0 {
		if err := os.Lchown(link2, 1000, 1000); err != nil {
			t.Fatal(err)
		}
		check("the owner of a link may replace it", link2, "parent", 0o755, "/link belongs to user 1000")
	}
	if _, err := Writers(filepath.Join(base, "none"), 0); err == nil {
		t.Error("a directory that does not exist has no error")
	}
}
