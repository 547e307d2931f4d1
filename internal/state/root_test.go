package state

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

// A node is a runtime root on disk with its Root.
type node struct {
	*Root
	t      *testing.T
	pauses int
}

func newNode(t *testing.T) *node {
	n := &node{Root: NewRoot(t.TempDir()), t: t}
	n.pause = func() { n.pauses++ }
	return n
}

func (n *node) file(name string) string { return filepath.Join(n.path, name) }

// write makes content the file's, in place, as runsc does.
func (n *node) write(name, content string) {
	n.t.Helper()
	if err := os.WriteFile(n.file(name), []byte(content), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

func nameOfState(container, sandbox string) string {
	return container + "_sandbox:" + sandbox + ".state"
}

// run writes the state file of a running container.
func (n *node) run(container, sandbox string) {
	n.t.Helper()
	n.write(nameOfState(container, sandbox), stateOf(container, sandbox, StatusRunning, ""))
}

func (n *node) remove(name string) {
	n.t.Helper()
	if err := os.RemoveAll(n.file(name)); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// list lists the root: "a[b c] d" is sandbox a, with the further containers b and c, and sandbox d.
func (n *node) list() (sandboxes, errors string) {
	n.t.Helper()
	listing, err := n.List()
	n.must(err)
	var all, errs []string
	for _, s := range listing.Sandboxes {
		if s.Containers[0].ID != s.ID {
			n.t.Errorf("sandbox %s begins with container %s", s.ID, s.Containers[0].ID)
		}
		text := s.ID
		if others := s.Containers[1:]; len(others) > 0 {
			var ids []string
			for _, c := range others {
				ids = append(ids, c.ID)
			}
			text += fmt.Sprint(ids)
		}
		all = append(all, text)
	}
	for _, e := range listing.Errors {
		errs = append(errs, e.Error())
	}
	return strings.Join(all, " "), strings.Join(errs, "\n")
}

func (n *node) want(sandboxes, errs string) {
	n.t.Helper()
	if got, gotErrs := n.list(); got != sandboxes || gotErrs != errs {
		n.t.Errorf("sandboxes %q, errors %q, want %q, %q", got, gotErrs, sandboxes, errs)
	}
}

// only returns the only sandbox.
func (n *node) only() *Sandbox {
	n.t.Helper()
	listing, err := n.List()
	n.must(err)
	if len(listing.Sandboxes) != 1 {
		n.t.Fatalf("%d sandboxes", len(listing.Sandboxes))
	}
	return listing.Sandboxes[0]
}

// settle waits until the stamps of all files are settled.
func (n *node) settle() {
	n.t.Helper()
	testkit.Until(n.t, "settling", func() bool {
		_, err := n.List()
		n.must(err)
		for _, f := range n.files {
			if !f.current {
				return false
			}
		}
		return true
	})
	n.pauses = 0
}

func TestList(t *testing.T) {
	list := func(name, want string, containers ...string) {
		t.Helper()
		n := newNode(t)
		for _, c := range containers {
			container, sandbox, _ := strings.Cut(c, " of ")
			n.run(container, sandbox)
		}
		if got, errs := n.list(); got != want || errs != "" {
			t.Errorf("%s: %s, errors %q, want %s", name, got, errs, want)
		}
	}
	list("nothing", "")
	list("a sandbox", "a", "a of a")
	list("sorted", "A a a-b b c0 c1", "c1 of c1", "a of a", "c0 of c0", "a-b of a-b", "b of b", "A of A")
	list("a pod", "b[a c d]", "d of b", "b of b", "c of b", "a of b")
	list("two pods", "a[x y] b[x z]", "x of a", "x of b", "a of a", "z of b", "b of b", "y of a")
	list("prefixes", "pre pre1 pre11", "pre1 of pre1", "pre of pre", "pre11 of pre11")
	list("prefixes in pods", "pre[pre1] pre1[pre]", "pre1 of pre1", "pre of pre", "pre1 of pre", "pre of pre1")
	list("the root container is gone", "b", "x of a", "y of a", "b of b")
	list("all that an ID can hold", "A_b.c+d-0", "A_b.c+d-0 of A_b.c+d-0")
}

// TestListBadFiles has one bad file at a time beside a good one, which is listed as usual.
func TestListBadFiles(t *testing.T) {
	const name = "b_sandbox:b.state"
	whole := stateOf("b", "b", StatusRunning, "")
	// bad makes the file and checks the error of List.
	bad := func(what, want string, make func(n *node) error) {
		t.Helper()
		t.Run(what, func(t *testing.T) {
			t.Helper()
			n := newNode(t)
			n.run("a", "a")
			n.must(make(n))
			n.want("a", `state file "`+name+`": `+want)
			n.remove(name)
			n.want("a", "")
		})
	}
	content := func(content string) func(*node) error {
		return func(n *node) error { return os.WriteFile(n.file(name), []byte(content), 0o600) }
	}
	bad("empty", "unexpected end of JSON", content(""))
	bad("a prefix", "unexpected end of JSON", content(whole[:len(whole)-1]))
	bad("garbage", "expected an object at byte 0", content("garbage"))
	bad("two documents", fmt.Sprintf("bytes after the end of the document at byte %d", len(whole)), content(whole+whole))
	bad("another container", `the content is for container "x" of sandbox "b"`, content(stateOf("x", "b", "", "")))
	bad("over the limit", "16777217 bytes exceed the limit of 16777216", func(n *node) error {
		return errors.Join(content(whole)(n), os.Truncate(n.file(name), maxFileSize+1))
	})
	bad("a directory", "not a regular file", func(n *node) error { return os.Mkdir(n.file(name), 0o700) })
	bad("a pipe", "not a regular file", func(n *node) error { return unix.Mkfifo(n.file(name), 0o600) })
	bad("a socket", "no such device or address", func(n *node) error {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: n.file("s")})
		if err != nil {
			return err
		}
		n.t.Cleanup(func() { l.Close() })
		return os.Rename(n.file("s"), n.file(name))
	})
	bad("a link", "too many levels of symbolic links", func(n *node) error {
		return errors.Join(os.WriteFile(n.file("whole"), []byte(whole), 0o600), os.Symlink("whole", n.file(name)))
	})
}

// TestListKeepsLastKnown: the last readable content of a file is listed until the file can be read
// again or is removed.
func TestListKeepsLastKnown(t *testing.T) {
	const name = "b_sandbox:b.state"
	keep := func(what, want string, spoil func(n *node)) {
		t.Helper()
		t.Run(what, func(t *testing.T) {
			t.Helper()
			n := newNode(t)
			n.run("a", "a")
			n.run("b", "b")
			n.want("a b", "")
			spoil(n)
			n.want("a b", `state file "`+name+`": `+want)
			n.want("a b", `state file "`+name+`": `+want)
			if n.pauses != 0 {
				t.Errorf("waited %d times, though there was an earlier version", n.pauses)
			}
			n.remove(name)
			n.run("b", "b")
			n.want("a b", "")
			n.remove(name)
			n.want("a", "")
		})
	}
	keep("truncated", "unexpected end of JSON", func(n *node) { n.write(name, "") })
	keep("of another container", `the content is for container "c" of sandbox "c"`, func(n *node) { n.write(name, stateOf("c", "c", "", "")) })
	keep("a directory now", "not a regular file", func(n *node) {
		n.remove(name)
		n.must(os.Mkdir(n.file(name), 0o700))
	})
}

// TestListChangeAtOnce: two versions of the same length, one right after the other, as runsc writes
// them.
func TestListChangeAtOnce(t *testing.T) {
	n := newNode(t)
	for range 50 {
		for _, status := range []string{StatusCreated, StatusRunning, StatusStopped} {
			n.write(nameOfState("a", "a"), stateOf("a", "a", status, ""))
			if got := n.only().Status; got != status {
				t.Fatalf("the status is %s, want %s", got, status)
			}
		}
	}
}

// TestListReadsSettledFilesOnce: a file is read again when it has changed. A sandbox that is another
// pointer was read again.
func TestListReadsSettledFilesOnce(t *testing.T) {
	n := newNode(t)
	n.run("a", "a")
	n.settle()
	before := n.only()
	if n.only() != before {
		t.Error("an unchanged file was read again")
	}
	n.must(os.Chmod(n.file(nameOfState("a", "a")), 0o640))
	if n.only() == before {
		t.Error("a file with another ctime was not read again")
	}
	n.settle()
	before = n.only()
	n.must(os.Rename(n.file(nameOfState("a", "a")), n.file("x")))
	n.write(nameOfState("a", "a"), stateOf("a", "a", StatusRunning, ""))
	if n.only() == before {
		t.Error("another file of the same name and size was not read")
	}

	n.write(nameOfState("bad", "bad"), "garbage")
	n.settle()
	bad := n.files[nameOfState("bad", "bad")]
	err := bad.err
	if n.list(); bad.err != err || n.pauses > 0 {
		t.Error("an unchanged bad file was read again")
	}
}

// TestListKeepsSandboxes: a sandbox stays the same pointer until one of its files changes, even if
// other sandboxes change.
func TestListKeepsSandboxes(t *testing.T) {
	n := newNode(t)
	list := func() map[string]*Sandbox {
		listing, err := n.List()
		n.must(err)
		byID := make(map[string]*Sandbox)
		for _, s := range listing.Sandboxes {
			byID[s.ID] = s
		}
		return byID
	}
	for _, c := range []string{"a", "b", "c", "d"} {
		n.run(c, c)
	}
	n.run("x", "c")
	// A step changes files. After it, the named sandboxes are new pointers, and only those.
	step := func(what, changed string, change func()) {
		t.Helper()
		n.settle()
		before := list()
		change()
		n.settle()
		var got []string
		for id, s := range list() {
			if s != before[id] {
				got = append(got, id)
			}
		}
		slices.Sort(got)
		if text := strings.Join(got, " "); text != changed {
			t.Errorf("%s: changed are %q, want %q", what, text, changed)
		}
	}
	step("nothing", "", func() {})
	step("the file of a root container", "b", func() { n.run("b", "b") })
	step("the file of another container", "c", func() { n.run("x", "c") })
	step("a new container", "c", func() { n.run("y", "c") })
	step("a container that is gone", "c", func() { n.remove(nameOfState("x", "c")) })
	step("a new sandbox before the others", "A", func() { n.run("A", "A") })
	step("a new sandbox between others", "bb", func() { n.run("bb", "bb") })
	step("sandboxes that are gone", "", func() {
		n.remove(nameOfState("A", "A"))
		n.remove(nameOfState("d", "d"))
	})
	step("a root container that is gone", "", func() { n.remove(nameOfState("c", "c")) })
	step("a root container that is back", "c", func() { n.run("c", "c") })
	step("a file that cannot be read", "", func() { n.write(nameOfState("b", "b"), "garbage") })
	step("a file of another ID", "e", func() { n.run("e", "e") })
	n.must(os.RemoveAll(n.path))
	n.must(os.Mkdir(n.path, 0o700))
	if n.want("", ""); len(n.files) > 0 {
		t.Errorf("%d files are remembered that are gone", len(n.files))
	}
}

// TestListWaitsForWriters: a file that is incomplete when it is first seen is read up to three times
// within one listing, if it has just changed.
func TestListWaitsForWriters(t *testing.T) {
	const name = "a_sandbox:a.state"
	wait := func(what, sandboxes, errs string, pause func(n *node)) {
		t.Helper()
		testkit.Until(t, "a listing within the time that a file takes to settle", func() bool {
			n := newNode(t)
			n.write(name, `{"id":`)
			n.pause = func() {
				n.pauses++
				pause(n)
			}
			got, gotErrs := n.list()
			if n.pauses == 0 {
				return false // it was read too late
			}
			if got != sandboxes || gotErrs != errs {
				t.Errorf("%s: sandboxes %q, errors %q, want %q, %q", what, got, gotErrs, sandboxes, errs)
			}
			return true
		})
	}
	finishAt := func(pause int) func(*node) {
		return func(n *node) {
			if n.write(name, `{"id":`); n.pauses == pause {
				n.run("a", "a")
			}
		}
	}
	wait("finished at once", "a", "", finishAt(1))
	wait("finished late", "a", "", finishAt(2))
	wait("finished too late", "", `state file "a_sandbox:a.state": unexpected end of JSON`, finishAt(3))
	wait("taken back", "", "", func(n *node) { n.remove(name) })
}

// TestListWhileWritten: while a file is rewritten, a sandbox that was listed once stays listed,
// with one of the versions.
func TestListWhileWritten(t *testing.T) {
	n := newNode(t)
	n.pause = func() { runtime.Gosched() }
	texts := make(map[string]bool)
	var contents []string
	for i := range 20 {
		pod := strings.Repeat("x", 2000*i)
		texts[pod] = true
		contents = append(contents, stateOf("a", "a", StatusRunning, `,"podName":"`+pod+`"`))
	}
	n.write(nameOfState("a", "a"), contents[0])
	stop, done := make(chan struct{}), make(chan error)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := os.WriteFile(n.file(nameOfState("a", "a")), []byte(contents[i%len(contents)]), 0o600); err != nil {
				done <- err
				return
			}
		}
	}()
	testkit.Until(t, "a first listing", func() bool {
		got, _ := n.list()
		return got == "a"
	})
	for range 200 {
		if pod := n.only().PodName; !texts[pod] {
			t.Errorf("a pod name of %d bytes, which was never written", len(pod))
		}
	}
	close(stop)
	n.must(<-done)
	n.want("a", "")
}

func TestListNoRoot(t *testing.T) {
	n := newNode(t)
	fail := func(what string, reason error) {
		t.Helper()
		listing, err := n.List()
		if !errors.Is(err, reason) || !strings.Contains(err.Error(), n.path) || len(listing.Sandboxes)+len(listing.Errors) != 0 {
			t.Errorf("%s: %v, %v, want %v", what, listing, err, reason)
		}
		if has, err := HasFiles(n.path); !errors.Is(err, reason) || !strings.Contains(err.Error(), n.path) || !has {
			t.Errorf("%s: HasFiles says %t, %v, want %v", what, has, err, reason)
		}
	}
	n.run("a", "a")
	n.want("a", "")
	dir := n.path

	n.must(os.RemoveAll(dir))
	fail("missing", fs.ErrNotExist)
	n.must(os.WriteFile(dir, nil, 0o600))
	fail("a file", unix.ENOTDIR)
	n.must(os.Remove(dir))
	n.must(os.Symlink("nowhere", dir))
	fail("a link to nowhere", fs.ErrNotExist)
	n.must(os.Remove(dir))
	n.must(os.Mkdir(dir, 0o700))
	n.want("", "")
	n.run("b", "b")
	n.want("b", "")
}

// asUnprivileged calls f without the privileges of root.
func asUnprivileged(t *testing.T, f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if os.Geteuid() == 0 {
		const unprivileged = 65534
		if _, err := unix.SetfsuidRetUid(unprivileged); err != nil {
			t.Skip(err)
		}
		defer unix.SetfsuidRetUid(0)
	}
	f()
}

func TestListUnreadable(t *testing.T) {
	n := newNode(t)
	n.must(os.Chmod(filepath.Dir(n.path), 0o755))
	chmod := func(name string, mode os.FileMode) { n.must(os.Chmod(n.file(name), mode)) }
	const denied = "permission denied"
	const name = "a_sandbox:a.state"
	n.run("a", "a")
	chmod(name, 0o644)
	asUnprivileged(t, func() { n.want("a", "") })

	chmod(name, 0o200)
	asUnprivileged(t, func() { n.want("a", `state file "`+name+`": `+denied) })
	chmod(name, 0o644)
	asUnprivileged(t, func() { n.want("a", "") })

	chmod(".", 0o644) // names can be listed, but not looked up
	asUnprivileged(t, func() { n.want("a", `state file "`+name+`": `+denied) })

	chmod(".", 0o300)
	asUnprivileged(t, func() {
		if _, err := n.List(); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%v, want %s", err, denied)
		}
		if _, err := HasFiles(n.path); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%v, want %s", err, denied)
		}
	})
	chmod(".", 0o755)
	asUnprivileged(t, func() { n.want("a", "") })
}

func TestSettled(t *testing.T) {
	now := time.Now()
	old, future := -time.Hour, time.Hour
	settled := func(what string, mtime, ctime time.Duration, want bool) {
		t.Helper()
		at := func(d time.Duration) unix.Timespec { return unix.NsecToTimespec(now.Add(d).UnixNano()) }
		if got := (Stamp{mtime: at(mtime), ctime: at(ctime)}).Settled(now); got != want {
			t.Errorf("%s: %v", what, got)
		}
	}
	settled("long ago", old, old, true)
	settled("just now", 0, 0, false)
	settled("a little later", -settleTime-time.Millisecond, -settleTime-time.Millisecond, true)
	settled("an old file renamed just now", old, 0, false)
	settled("a moment ahead", 10*time.Millisecond, 10*time.Millisecond, false)
	settled("the clock was set back since", future, future, true)
	settled("set to the future just now", future, 0, false)
}

// TestReadFileChanging reads a file with more bytes than its size, as in a file that grows.
func TestReadFileChanging(t *testing.T) {
	fd, err := unix.Open("/proc/self", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip(err)
	}
	defer unix.Close(fd)
	if _, _, err := readFile(fd, "stat", nil); err != errChanging {
		t.Error(err)
	}
}

// TestHasFiles: the name of a state file is found among many others.
func TestHasFiles(t *testing.T) {
	n := newNode(t)
	check := func(what string, want bool) {
		t.Helper()
		if has, err := HasFiles(n.path); has != want || err != nil {
			t.Errorf("%s: %t, %v", what, has, err)
		}
	}
	check("an empty directory", false)
	for i := range 2000 {
		n.write(fmt.Sprint(nameOfState("a", "b"), i), "")
	}
	check("none of these is a state file", false)
	n.write(nameOfState("a", "b"), "")
	check("a state file", true)
}
