package control

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

const logLimit = 1 << 16

// TestReadFinalLog has a case for each kind of file at the path of a log.
func TestReadFinalLog(t *testing.T) {
	dir := testkit.TempDir(t)
	path := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// file makes a file with that many bytes.
	file := func(name string, size int64) string {
		t.Helper()
		must(os.WriteFile(path(name), []byte("log"), 0o600))
		must(os.Truncate(path(name), size))
		return path(name)
	}
	read := func(path string, size int) {
		t.Helper()
		reply, err := ReadFinalLog(path, logLimit)
		if data := reply.Untrusted(); err != nil || len(data) != size || !bytes.HasPrefix(data, []byte("log")) {
			t.Errorf("%s: got %d bytes, %v, want %d", path, len(data), err, size)
		}
	}
	refuse := func(path, want string) {
		t.Helper()
		reply, err := ReadFinalLog(path, logLimit)
		if err == nil || !strings.Contains(err.Error(), want) || reply.Untrusted() != nil {
			t.Errorf("%s: got %d bytes, %v, want %q", path, len(reply.Untrusted()), err, want)
		}
		if errors.Is(err, ErrNoFinalMetrics) {
			t.Errorf("%s: %v looks like an empty log", path, err)
		}
	}

	read(file("log", 100), 100)
	read(file("longest", logLimit), logLimit)
	refuse(file("too long", logLimit+1), "65537 bytes exceed the limit of 65536")
	if reply, err := ReadFinalLog(file("empty", 0), logLimit); !errors.Is(err, ErrNoFinalMetrics) || reply.Untrusted() != nil {
		t.Errorf("an empty file: got %q, %v", reply.Untrusted(), err)
	}

	refuse(path("missing"), "--final-metrics-log")
	if _, err := ReadFinalLog(path("missing"), logLimit); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	refuse(filepath.Join(path("log"), "x"), "not a directory")
	must(os.Mkdir(path("directory"), 0o700))
	refuse(path("directory"), "not a regular file")
	must(os.Symlink(path("log"), path("link")))
	refuse(path("link"), "symbolic link")
	must(os.Symlink(dir, path("link to directory")))
	read(filepath.Join(path("link to directory"), "log"), 100) // the operator's
	must(os.Link(path("longest"), path("hard")))
	refuse(path("hard"), "hard links")
	must(unix.Mkfifo(path("fifo"), 0o600))
	refuse(path("fifo"), "not a regular file") // and does not wait for a writer
	refuse("/dev/zero", "not a regular file")
}

// TestReadFinalLogWithLease: a sandbox can have a lease on its log, which makes others wait for up
// to 45 seconds when they open it.
func TestReadFinalLogWithLease(t *testing.T) {
	path := filepath.Join(testkit.TempDir(t), "log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skip("this file system has no leases: ", err)
	}
	// The kernel tells the holder with a signal that is ignored by Go.
	if _, err := ReadFinalLog(path, logLimit); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("got %v, want %v", err, unix.EAGAIN)
	}
}

// TestReadFinalLogWhileItChanges: whatever another process does to the file between the calls of
// the server, the log is refused.
func TestReadFinalLogWhileItChanges(t *testing.T) {
	check := func(name string, when int, change func(*os.File) error) {
		t.Helper()
		f, err := os.Create(filepath.Join(testkit.TempDir(t), "log"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		_, writeErr := f.WriteString("log")
		calls := 0
		data, err := readLog(f.Name(), logLimit, func(fd int, stat *unix.Stat_t) (err error) {
			calls++
			if calls == 2 && when == 2 {
				err = change(f)
			}
			err = errors.Join(err, unix.Fstat(fd, stat))
			if calls == 1 && when == 1 {
				err = errors.Join(err, change(f))
			}
			return err
		})
		if data != nil || err != errLogChanging || writeErr != nil {
			t.Errorf("it %s at the call %d of fstat: got %q, %v, want %v", name, when, data, err, errLogChanging)
		}
	}
	for when := 1; when <= 2; when++ { // after the first call of fstat, or before the second
		check("grows", when, func(f *os.File) error { return f.Truncate(1 << 42) })
		check("shrinks", when, func(f *os.File) error { return f.Truncate(1) })
		check("differs", when, func(f *os.File) error {
			// The clock of a file system can have ticks, so set a time that differs for sure.
			return unix.Futimes(int(f.Fd()), []unix.Timeval{{Sec: 1}, {Sec: 1}})
		})
	}
}
