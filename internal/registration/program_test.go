package registration

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

// script writes a shell script and returns it as a program.
func script(t *testing.T, text string) *program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	write(t, path, "#!/bin/sh\n"+text+"\n", 0o755)
	p, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
}

func TestRun(t *testing.T) {
	writes := func(name, text, want string) {
		t.Helper()
		out, err := script(t, text).run(t.Context(), "one", "two words")
		if err != nil || string(out) != want {
			t.Errorf("%s: %q, %v, want %q", name, out, err, want)
		}
	}
	t.Setenv("SECRET", "secret")
	writes("its arguments", `echo "$# $1 $2"`, "2 one two words\n")
	writes("a minimal environment", `echo "$SECRET$HOME$PATH"`, "/usr/sbin:/usr/bin:/sbin:/bin\n")
	writes("its directory", "pwd", "/\n")
	writes("all that is allowed", "head -c 4194304 /dev/zero | tr '\\0' a", strings.Repeat("a", maxOutput))

	fails := func(name, text, want string) {
		t.Helper()
		p := script(t, text)
		out, err := p.run(t.Context(), "x")
		if want = p.path + " x: " + want; out != nil || err == nil || err.Error() != want {
			t.Errorf("%s: %q, %v, want %s", name, out, err, want)
		}
	}
	fails("a failure", "exit 3", "exit status 3")
	fails("a message", "echo first >&2; echo last >&2; exit 1", `exit status 1: "last"`)
	fails("a message that is not printable", `printf 'a\033[1m\377' >&2; exit 1`, `exit status 1: "a\x1b[1m\xff"`)
	fails("a long message", "head -c 100000 /dev/zero | tr '\\0' a >&2; exit 1", `exit status 1: "`+strings.Repeat("a", maxError)+`"`)
	fails("a byte too many", "head -c 4194305 /dev/zero", "the output is longer than 4194304 bytes")
	fails("a flood that ignores signals", "trap '' PIPE TERM; a=$(head -c 65536 /dev/zero | tr '\\0' a); while :; do echo $a; done", "the output is longer than 4194304 bytes")
}

// TestRunEnds: a program ends with the context or the time, and so does what it started.
func TestRunEnds(t *testing.T) {
	const hang = "sleep 600 & echo $! > FILE.new; mv FILE.new FILE; wait"
	ends := func(name, text, want string, ctx func(started func() bool) context.Context) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "pid")
		started := func() bool { _, err := os.Stat(file); return err == nil }
		_, err := script(t, strings.ReplaceAll(text, "FILE", file)).run(ctx(started), "x")
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasSuffix(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
		if started() {
			testkit.Until(t, name+": the process that it started has ended", func() bool { return ended(t, file) })
		}
	}
	ends("a program that is cancelled", hang, "context canceled", func(started func() bool) context.Context {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for !started() {
				time.Sleep(time.Millisecond)
			}
			cancel()
		}()
		return ctx
	})
	ends("a program that takes too long", hang, "killed after 10s", func(func() bool) context.Context {
		ctx, cancel := context.WithDeadline(t.Context(), time.Now())
		t.Cleanup(cancel)
		return ctx
	})
	ends("a program that leaves one behind", "sleep 600 & echo $! > FILE", "", func(func() bool) context.Context { return t.Context() })
}

// ended reports whether the process whose ID is in a file has ended.
func ended(t *testing.T, file string) bool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// TestOpenedFileRuns: what was checked runs, even if the path is another file's by then.
func TestOpenedFileRuns(t *testing.T) {
	p := script(t, "echo checked")
	if err := os.Remove(p.path); err != nil {
		t.Fatal(err)
	}
	write(t, p.path, "#!/bin/sh\necho other\n", 0o755)
	if out, err := p.run(t.Context()); err != nil || string(out) != "checked\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestMayRun(t *testing.T) {
	const user = 1000
	check := func(owner uint32, mode uint32, want string) {
		t.Helper()
		err := mayRun(&unix.Stat_t{Uid: owner, Mode: mode}, user)
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("user %d, mode %o: %v, want %q", owner, mode, err, want)
		}
	}
	check(0, unix.S_IFREG|0o755, "")
	check(0, unix.S_IFREG|0o500, "")
	check(user, unix.S_IFREG|0o755, "")
	check(1001, unix.S_IFREG|0o755, "it belongs to user 1001: it has to belong to root or to the user of the server")
	check(0, unix.S_IFREG|0o775, writableText)
	check(user, unix.S_IFREG|0o757, writableText)
	check(0, unix.S_IFREG|0o644, "not executable")
	check(0, unix.S_IFDIR|0o755, "not a regular file")
	check(0, unix.S_IFIFO|0o755, "not a regular file")
	if p, err := open("runsc"); p != nil || err == nil || !strings.HasSuffix(err.Error(), "the path is not absolute") {
		t.Errorf("a relative path: %v, %v", p, err)
	}
}

const writableText = "its group or others may write it"
