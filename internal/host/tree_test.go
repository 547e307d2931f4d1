package host

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// A tree is a copy of a recorded directory tree.
type tree struct {
	t    testing.TB
	root string
}

var treeHead = regexp.MustCompile(`(?m)^-- (\S+)(?: -> (\S+))? --\n`)

// newTree makes the tree that a file in testdata describes: "-- path --" begins a file, and
// "-- path -> target --" is a symbolic link. Text before the first is a comment.
func newTree(t testing.TB, name string) *tree {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	text, tr := string(data), &tree{t, t.TempDir()}
	heads := treeHead.FindAllStringSubmatchIndex(text, -1)
	for i, h := range heads {
		path, end := text[h[2]:h[3]], len(text)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		if h[4] >= 0 {
			tr.link(path, text[h[4]:h[5]])
		} else {
			tr.write(path, text[h[1]:end])
		}
	}
	return tr
}

func (tr *tree) path(path string) string { return filepath.Join(tr.root, path) }

func (tr *tree) write(path, content string) {
	tr.t.Helper()
	tr.mkdir(filepath.Dir(path))
	if err := os.WriteFile(tr.path(path), []byte(content), 0o644); err != nil {
		tr.t.Fatal(err)
	}
}

func (tr *tree) mkdir(path string) {
	tr.t.Helper()
	if err := os.MkdirAll(tr.path(path), 0o755); err != nil {
		tr.t.Fatal(err)
	}
}

func (tr *tree) link(path, target string) {
	tr.t.Helper()
	tr.mkdir(filepath.Dir(path))
	tr.remove(path)
	if err := os.Symlink(target, tr.path(path)); err != nil {
		tr.t.Fatal(err)
	}
}

func (tr *tree) remove(path string) {
	tr.t.Helper()
	if err := os.RemoveAll(tr.path(path)); err != nil {
		tr.t.Fatal(err)
	}
}

// replace replaces a text that occurs in the file.
func (tr *tree) replace(path, old, text string) {
	tr.t.Helper()
	data, err := os.ReadFile(tr.path(path))
	if err != nil || !strings.Contains(string(data), old) {
		tr.t.Fatalf("%s has no %q (%v)", path, old, err)
	}
	tr.write(path, strings.ReplaceAll(string(data), old, text))
}

// recreate replaces a directory by a copy, whose files have other inodes.
func (tr *tree) recreate(path string) {
	tr.t.Helper()
	old := filepath.Join(tr.t.TempDir(), "old")
	if err := os.Rename(tr.path(path), old); err != nil {
		tr.t.Fatal(err)
	}
	if err := os.CopyFS(tr.path(path), os.DirFS(old)); err != nil {
		tr.t.Fatal(err)
	}
	// old stays, so that no inode is used again.
}

// meter returns a Meter of the tree. Sentries have used sentryCPU. Files of cgroups are not held:
// files of an ordinary file system could be read after they were removed.
func (tr *tree) meter() *Meter {
	tr.t.Helper()
	m, err := NewMeter(tr.root)
	if err != nil {
		tr.t.Fatal(err)
	}
	m.cpuClock = func(int) (int64, error) { return sentryCPU, nil }
	m.mayHold = func() int { return 0 }
	return m
}

const sentryCPU = 7_000_000_007

// Processes of the recorded trees.
const (
	sentryPID = 9021
	goferPID  = 9017
)

// dockerID is the ID of the sandbox in v2.txt.
const dockerID = "2f0c0a7de52ac6a34fa0b0f8c1d3a1b7a0cf0e2a6d6f3f4a5d1f6f1b8c9d0e1f"

// subject returns a sandbox of a recorded tree, whose sentry runs.
func subject(id string) Subject {
	return Subject{ID: id, PID: sentryPID, Gofers: []int{goferPID}, Alive: func() bool { return true }}
}

// open returns an account that is closed at the end of the test.
func (tr *tree) open(m *Meter, s Subject) *Account {
	a := m.Open(s)
	tr.t.Cleanup(a.Close)
	return a
}

var start = time.Unix(1_800_000_000, 0)

// read returns what the account measures.
func read(a *Account, after time.Duration) *fact.Reading {
	u := new(fact.Reading)
	a.Read(u, start.Add(after))
	return u
}
