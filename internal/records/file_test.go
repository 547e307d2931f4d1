package records

import (
	"bufio"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

// A dir is a directory in which tests write records.
type dir struct {
	*testing.T
	path string
	log  testkit.Buffer
}

func newDir(t *testing.T) *dir { return &dir{T: t, path: testkit.TempDir(t)} }

func (d *dir) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

func (d *dir) file(name string) string { return filepath.Join(d.path, name) }

// open returns an open file of the directory.
func (d *dir) open(name string, maxSize int64) *file {
	d.Helper()
	f, err := openFile(d.file(name), maxSize)
	d.must(err)
	d.Cleanup(func() { f.close() })
	return f
}

// write writes a line, which has to succeed.
func (d *dir) write(f *file, line string) {
	d.Helper()
	d.must(f.write([]byte(line + "\n")))
}

// put makes a file with a content.
func (d *dir) put(name, content string) {
	d.Helper()
	d.must(os.WriteFile(d.file(name), []byte(content), 0o600))
}

// has fails the test unless a file has a content, with spaces for the ends of lines.
func (d *dir) has(name, want string) {
	d.Helper()
	content, err := os.ReadFile(d.file(name))
	d.must(err)
	if got := strings.ReplaceAll(string(content), "\n", " "); got != want {
		d.Errorf("%s has %q, want %q", name, got, want)
	}
}

// TestAppend: lines follow those that are there; a line that was cut by a crash gets an end.
func TestAppend(t *testing.T) {
	d := newDir(t)
	d.put("whole", "old\n")
	d.put("torn", `{"ver`)
	for name, want := range map[string]string{"new": "a b ", "whole": "old a b ", "torn": `{"ver a b `} {
		f := d.open(name, 0)
		d.write(f, "a")
		d.write(f, "b")
		d.has(name, want)
	}
	info, err := os.Stat(d.file("new"))
	d.must(err)
	if info.Mode().Perm()&0o007 != 0 {
		t.Errorf("others have access: %v", info.Mode())
	}
}

// TestNotAFile: what is neither a regular file nor a FIFO is refused. So is a missing directory.
func TestNotAFile(t *testing.T) {
	d := newDir(t)
	socket, err := net.Listen("unix", d.file("socket"))
	d.must(err)
	defer socket.Close()
	check := func(path, want string) {
		t.Helper()
		w, err := New(Options{Path: path})
		if err == nil {
			w.Close()
			t.Errorf("%s is accepted", path)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	check(d.path, "is a directory")
	check(d.file("no/file"), "no such file or directory")
	check("/dev/null", "/dev/null: neither a regular file nor a FIFO")
	check(d.file("socket"), "no such device or address")
}

// TestRotation: no file exceeds the limit, no line is split, and one old file is kept.
func TestRotation(t *testing.T) {
	d := newDir(t)
	d.put("f", "old\n")
	f := d.open("f", 10)
	for _, line := range []string{"a", "b", "c", "d"} {
		d.write(f, line)
	}
	d.has("f", "d ")
	d.has("f.1", "old a b c ")
	d.write(f, "long line")
	d.has("f", "long line ")
	d.has("f.1", "d ")
	d.write(f, "longer than the limit")
	d.write(f, "e")
	d.has("f", "e ")
	d.has("f.1", "longer than the limit ")
}

// TestRotationFails: the limit holds, and the file is as it was.
func TestRotationFails(t *testing.T) {
	d := newDir(t)
	d.must(os.MkdirAll(d.file("f.1/in the way"), 0o755))
	f := d.open("f", 4)
	d.write(f, "a")
	d.write(f, "b")
	for range 2 {
		if err := f.write([]byte("c\n")); !errors.Is(err, fs.ErrExist) {
			t.Errorf("the error is %v", err)
		}
	}
	d.has("f", "a b ")
	d.must(os.RemoveAll(d.file("f.1")))
	d.write(f, "d")
	d.has("f", "d ")
	d.has("f.1", "a b ")
}

// TestRemoved: a removed file is made anew. While its directory is missing, lines fail.
func TestRemoved(t *testing.T) {
	d := newDir(t)
	d.must(os.Mkdir(d.file("sub"), 0o755))
	f := d.open("sub/f", 0)
	d.write(f, "a")
	d.must(os.Remove(d.file("sub/f")))
	d.write(f, "b")
	d.has("sub/f", "b ")
	d.must(os.RemoveAll(d.file("sub")))
	for range 2 {
		if err := f.write([]byte("c\n")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the error is %v", err)
		}
	}
	d.must(os.Mkdir(d.file("sub"), 0o755))
	d.write(f, "d")
	d.has("sub/f", "d ")
}

// TestTruncated: lines follow the end of a file that another program has truncated, and its size
// counts anew.
func TestTruncated(t *testing.T) {
	d := newDir(t)
	f := d.open("f", 4)
	d.write(f, "a")
	d.write(f, "b")
	d.must(os.Truncate(d.file("f"), 0))
	d.write(f, "c")
	d.has("f", "c ")
	if _, err := os.Stat(d.file("f.1")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is rotated: %v", err)
	}
}

// TestReplaced: a file that another program has renamed is full. The file that has its place is not renamed.
func TestReplaced(t *testing.T) {
	d := newDir(t)
	f := d.open("f", 4)
	d.write(f, "a")
	d.write(f, "b")
	d.must(os.Rename(d.file("f"), d.file("f.1")))
	d.put("f", "x\n")
	d.write(f, "c")
	d.has("f", "x c ")
	d.has("f.1", "a b ")
}

// TestRenamed: the next line goes to a new file at the path. While there can be none, the old one goes on.
func TestRenamed(t *testing.T) {
	d := newDir(t)
	f := d.open("f", 0)
	d.must(os.Rename(d.file("f"), d.file("g")))
	d.must(os.Mkdir(d.file("f"), 0o755))
	d.write(f, "a")
	d.has("g", "a ")
	d.must(os.Remove(d.file("f")))
	d.write(f, "b")
	d.has("f", "b ")
	d.has("g", "a ")
}

// newSmallDir returns a directory with room for two pages.
func newSmallDir(t *testing.T) *dir {
	d := newDir(t)
	if err := unix.Mount("tmpfs", d.path, "tmpfs", 0, "size=8k"); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	t.Cleanup(func() { d.must(unix.Unmount(d.path, 0)) })
	return d
}

// TestStandardOutput: a line that was cut is not taken back, and the next one begins on a line of its own.
// Standard output is neither renamed nor closed, because others may use it.
func TestStandardOutput(t *testing.T) {
	d := newSmallDir(t)
	out, err := os.Create(d.file("out"))
	d.must(err)
	defer out.Close()
	f := &file{path: Stdout, maxSize: 1}
	f.current.Store(out)
	d.must(f.close())
	if err := f.write([]byte(strings.Repeat("a", 9<<10))); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("the error is %v", err)
	}
	d.must(out.Truncate(4 << 10)) // makes room
	d.write(f, "b")
	if content, err := os.ReadFile(d.file("out")); err != nil || !strings.HasSuffix(string(content), "\x00\nb\n") {
		t.Errorf("standard output ends with %q, %v", content[max(0, len(content)-9):], err)
	}
}

// TestFullDisk: a line that does not fit is taken back, and lines are written again when there is
// room.
func TestFullDisk(t *testing.T) {
	d := newSmallDir(t)
	w, err := New(Options{Path: d.file("f"), Logger: logger(&d.log)})
	d.must(err)
	defer w.Close()
	d.put("other", strings.Repeat("x", 2048))      // a page, of two
	large := Record{ID: strings.Repeat("a", 3400)} // less than a page, and more than is left of one
	w.Add(Record{ID: "a"})
	w.Add(large)
	w.Add(large)
	testkit.Until(t, "both large records are dropped", func() bool { return w.Dropped() == 2 })
	d.must(os.Remove(d.file("other")))
	w.Add(large)
	w.Close()
	d.has("f", strings.ReplaceAll(string(Record{ID: "a"}.Line())+string(large.Line()), "\n", " "))
	if w.Written() != 2 || strings.Count(d.log.String(), "no space left on device") != 1 || !strings.Contains(d.log.String(), "written again") {
		t.Errorf("%d records are written; the log is\n%s", w.Written(), d.log.String())
	}
}

// fifo makes a FIFO in the directory.
func (d *dir) fifo() string {
	d.Helper()
	d.must(syscall.Mkfifo(d.file("fifo"), 0o600))
	return d.file("fifo")
}

// TestFIFO: records wait for a reader, and for the next one.
func TestFIFO(t *testing.T) {
	d := newDir(t)
	path := d.fifo()
	w, err := New(Options{Path: path, MaxSize: 1, Logger: logger(&d.log)})
	d.must(err)
	for _, id := range []string{"before a reader comes", "after it has left"} {
		w.Add(Record{ID: id})
		reader, err := os.Open(path)
		d.must(err)
		line, err := bufio.NewReader(reader).ReadString('\n')
		d.must(err)
		if want := string(Record{ID: id}.Line()); line != want {
			t.Errorf("the reader has %s, want %s", line, want)
		}
		reader.Close()
	}
	w.Close()
	if w.Written() != 2 || w.Dropped() != 0 || d.log.String() != "" {
		t.Errorf("%d records are written, %d dropped, and the log is %s", w.Written(), w.Dropped(), d.log.String())
	}
}
