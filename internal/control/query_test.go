package control

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/sandboxtest"
)

// The recorded requests are those that gVisor's own client sends.
func TestExportRequestIsTheRecordedOne(t *testing.T) {
	check := func(name, filter string) {
		t.Helper()
		want, err := os.ReadFile(filepath.Join("testdata", name+".request.bin"))
		if err != nil {
			t.Fatal(err)
		}
		if got := ExportRequest(filter); string(got) != string(want) {
			t.Errorf("filter %q:\n%s\nwant\n%s", filter, got, want)
		}
	}
	check("export_all", "")
	check("export_fs", "fs_.*")
	check("export_badregex", "(")
	check("export_none_match", "^nothing$")
}

func TestExportRequestHoldsAnyFilter(t *testing.T) {
	check := func(filter string) {
		t.Helper()
		var r struct {
			Method string
			Arg    map[string]string
		}
		if err := json.Unmarshal(ExportRequest(filter), &r); err != nil {
			t.Fatalf("%q: %v", filter, err)
		}
		if r.Method != "Metrics.Export" || len(r.Arg) != 1 || r.Arg["only_metrics"] != filter {
			t.Errorf("filter %q makes %+v", filter, r)
		}
	}
	check(`"}}`)
	check(`\bfs\b`)
	check("a\nb\x00c\u2028d")
	check("<&>")
	check(strings.Repeat("<", 4<<10))
}

func TestSavingsRequest(t *testing.T) {
	w := newWorld(t)
	s := w.start(sandboxtest.Spec{ID: "a", SavedAtRestore: sandboxtest.Savings{CPUTimeSaved: -1, WallTimeSaved: 2}})
	q := query(s.SocketPath())
	q.Request = SavingsRequest()
	if got := w.ask(q); got.answer != `{"success":true,"err":"","result":{"CPUTimeSaved":-1,"WallTimeSaved":2}}` {
		t.Errorf("got %s, %v", got.answer, got.err)
	}
}

// TestLongestFilter: the longest question that there is goes out at once.
func TestLongestFilter(t *testing.T) {
	w := newWorld(t)
	q := query(w.start(sandboxtest.Spec{ID: "a"}).SocketPath())
	q.Request = ExportRequest(strings.Repeat("<", 4<<10)) // each becomes six bytes
	if got := w.ask(q); !honest(got.answer) {
		t.Errorf("got %q, %v", got.answer, got.err)
	}
}

// TestAddress is about what is at the paths where a control socket should be.
func TestAddress(t *testing.T) {
	w := newWorld(t)
	live := w.start(sandboxtest.Spec{ID: "live"}).SocketPath()
	missing := w.path("missing")
	directory, file, refusing, datagrams := w.path("directory"), w.path("file"), w.path("refusing"), w.path("datagrams")
	link, dangling := w.path("link"), w.path("dangling")
	w.must(os.Mkdir(directory, 0o755))
	w.must(os.WriteFile(file, []byte("{}"), 0o644))
	w.must(os.Symlink(live, link))
	w.must(os.Symlink(missing, dangling))
	w.refusing(refusing)
	w.datagrams(datagrams)
	long := w.path(strings.Repeat("long/", 30))
	w.must(os.MkdirAll(long, 0o755))
	longLive, longFile := filepath.Join(long, "live"), filepath.Join(long, "file")
	w.start(sandboxtest.Spec{ID: "long", ControlSocket: longLive})
	w.must(os.WriteFile(longFile, nil, 0o644))

	answers := func(path, fallback string) {
		t.Helper()
		q := query("")
		q.Address = NewAddress(path, fallback)
		if got := w.ask(q); !honest(got.answer) {
			t.Errorf("at %q or %q: %q, %v", path, fallback, got.answer, got.err)
		}
	}
	unreachable := func(path, fallback string, want error) {
		t.Helper()
		q := query("")
		q.Address = NewAddress(path, fallback)
		if got := w.ask(q); !errors.Is(got.err, ErrUnreachable) || !errors.Is(got.err, want) {
			t.Errorf("at %q or %q: %q, %v, want %v", path, fallback, got.answer, got.err, want)
		}
	}

	answers(live, "")
	answers(link, "")
	answers(longLive, "")
	unreachable(missing, "", unix.ENOENT)
	unreachable(dangling, "", unix.ENOENT)
	unreachable("", "", unix.ENOENT)
	unreachable(filepath.Join(file, "x"), "", unix.ENOTDIR)
	unreachable(directory, "", unix.ECONNREFUSED)
	unreachable(file, "", unix.ECONNREFUSED)
	unreachable(refusing, "", unix.ECONNREFUSED)
	unreachable(datagrams, "", unix.EPROTOTYPE)
	unreachable(filepath.Join(long, "missing"), "", unix.ENOENT)
	unreachable(longFile, "", unix.ECONNREFUSED)
	unreachable("/"+strings.Repeat("x", 5000), "", unix.ENAMETOOLONG)

	// The second path counts where nothing is at the first, and only there.
	answers(missing, live)
	answers(missing, longLive)
	answers("", live)
	answers(live, missing)
	answers(live, refusing)
	answers(live, live)
	unreachable(refusing, live, unix.ECONNREFUSED)
	unreachable(missing, missing, unix.ENOENT)
	unreachable(missing, refusing, unix.ECONNREFUSED)
}

// TestPathLength: connect(2) takes 107 bytes, and Docker's usual paths have 109.
func TestPathLength(t *testing.T) {
	w := newWorld(t)
	for _, length := range []int{100, 106, 107, 108, 109, 110, 200} {
		dir := w.path(strings.Repeat("x", length-len(w.root)-len("//s")))
		w.must(os.Mkdir(dir, 0o755))
		path := filepath.Join(dir, "s")
		s := w.start(sandboxtest.Spec{ID: "a", ControlSocket: path})
		if got := w.ask(query(path)); !honest(got.answer) {
			t.Errorf("%d bytes: %q, %v", length, got.answer, got.err)
		}
		w.must(s.Remove())
	}
}

// TestSocketThatComesBack: the path is looked up for every question.
func TestSocketThatComesBack(t *testing.T) {
	w := newWorld(t)
	s := w.start(sandboxtest.Spec{ID: "a"})
	q := query(s.SocketPath())
	w.must(s.Remove())
	if got := w.ask(q); !errors.Is(got.err, unix.ENOENT) {
		t.Errorf("while it is gone: %q, %v", got.answer, got.err)
	}
	w.start(sandboxtest.Spec{ID: "a"})
	if got := w.ask(q); !honest(got.answer) {
		t.Errorf("when it is back: %q, %v", got.answer, got.err)
	}
}

// TestErrorsAreOneLine, and say what is wrong.
func TestErrorsAreOneLine(t *testing.T) {
	check := func(err error, want string) {
		t.Helper()
		if err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
	check(errUnreachable(unix.ECONNREFUSED), "cannot connect to the control socket: connection refused")
	check(errInternal(errShortWrite), "the question could not be asked: the control socket did not take the question at once")
	check(errTooLong(5), "the answer is too long: more than 5 bytes")
	check(errTooMuch, "the answer is too long: it is the largest of unfinished ones that together exceed 18874368 bytes")
}

// refusing makes a socket on which nobody listens any more.
func (w *world) refusing(path string) {
	w.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	w.must(err)
	l.SetUnlinkOnClose(false)
	w.must(l.Close())
}

// datagrams makes a socket of another kind.
func (w *world) datagrams(path string) {
	w.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	w.must(err)
	w.Cleanup(func() { c.Close() })
}
