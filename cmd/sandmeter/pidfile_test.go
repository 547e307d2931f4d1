package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/sandmeter/sandmeter/internal/cli"
)

// ended returns the ID of a process that has ended.
func (w *world) ended() string {
	w.Helper()
	cmd := exec.Command("true")
	w.must(cmd.Run())
	return strconv.Itoa(cmd.Process.Pid)
}

// sleeper returns the ID of a process that runs until the test ends.
func (w *world) sleeper() string {
	w.Helper()
	cmd := exec.Command("sleep", "1000")
	w.must(cmd.Start())
	w.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return strconv.Itoa(cmd.Process.Pid)
}

// wantPIDFile fails the test unless a file has this content and is the only file in its directory.
func (w *world) wantPIDFile(path, want string) {
	w.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		w.Errorf("the PID file has %q, %v, want %q", got, err, want)
	}
	if files, _ := filepath.Glob(filepath.Dir(path) + "/.*.*"); len(files) > 0 {
		w.Errorf("left behind: %q", files)
	}
}

// TestPIDFileIsReplaced: the PID file of a process that has ended is replaced.
func TestPIDFileIsReplaced(t *testing.T) {
	w := newWorld(t)
	path, own := w.path("pid"), strconv.Itoa(os.Getpid())
	zombie := exec.Command("true")
	w.must(zombie.Start())
	defer zombie.Wait()
	w.until("the process has ended", func() bool { return !isRunning(zombie.Process.Pid) })
	for _, old := range []string{"", "\n", w.ended(), w.ended() + "\n", own, strconv.Itoa(zombie.Process.Pid)} {
		w.must(os.WriteFile(path, []byte(old), 0o600))
		w.must(writePIDFile(path))
		w.wantPIDFile(path, own)
		if info, err := os.Lstat(path); err != nil || info.Mode() != 0o644 {
			t.Errorf("the PID file is %v, %v", info.Mode(), err)
		}
		w.must(removePIDFile(path))
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the PID file is left behind: %v", err)
		}
	}
}

// TestPIDFileIsLeft: the PID file of a running process, and a file that is not a PID file, are left
// alone. The server fails before it logs that it serves.
func TestPIDFileIsLeft(t *testing.T) {
	w := newWorld(t)
	path := w.path("pid")
	refused := func(content, want string) {
		t.Helper()
		w.must(os.WriteFile(path, []byte(content), 0o644))
		for _, line := range []string{
			"--root={root} --metric-server={socket} metric-server --pid-file={dir}/pid",
		} {
			w.fails(line, cli.ExitFail, "PID file {dir}/pid: "+want)
			w.wantPIDFile(path, content)
		}
		w.must(os.Remove(path))
	}
	const another = ", or choose another path"
	running := w.sleeper()
	refused(running, "it belongs to process "+running+", which is running: stop that process"+another)
	refused(running+"\n", "it belongs to process "+running+", which is running: stop that process"+another)
	refused("1", "it belongs to process 1, which is running: stop that process"+another)
	for _, content := range []string{"root:x:0:0:root:/root:/bin/bash\n", "0", "-1", "99999999999", "12 13"} {
		refused(content, "the existing file is not a PID file: remove it"+another)
	}

	w.must(os.Symlink("root", w.path("link")))
	for _, name := range []string{"link", "root"} {
		w.fails("--root={root} --metric-server={socket} metric-server --pid-file={dir}/"+name, cli.ExitFail,
			"PID file {dir}/"+name+": it is not a regular file: remove it"+another)
	}
	w.fails("--root={root} --metric-server={socket} metric-server --pid-file={dir}/none/pid", cli.ExitFail,
		"PID file {dir}/none/pid: no such file or directory")
}

// TestPIDFileOfAnother: at its end a server leaves the PID file of another process alone.
func TestPIDFileOfAnother(t *testing.T) {
	w := newWorld(t)
	s := w.serve("--root={root} --metric-server={socket} metric-server --pid-file={dir}/pid")
	w.wantPIDFile(w.path("pid"), strconv.Itoa(os.Getpid()))
	w.must(os.WriteFile(w.path("pid"), []byte("1"), 0o644))
	if code := s.stop(); code != cli.ExitOK {
		t.Errorf("it exits with %d and says %s", code, s.err.String())
	}
	w.wantPIDFile(w.path("pid"), "1")
}

// TestPIDFileOnAFullDisk: a failed write leaves no file. A limit on file size stands in for a full
// disk. It holds for the whole process, and go test writes files of its own, so the test runs in a
// child process.
func TestPIDFileOnAFullDisk(t *testing.T) {
	const child = "SANDMETER_TEST_FULL_DISK"
	if os.Getenv(child) == "" {
		run := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		run.Env = append(os.Environ(), child+"=1")
		if out, err := run.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	w := newWorld(t)
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	w.must(syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit))
	for _, old := range []string{"no file", w.ended()} {
		if old != "no file" {
			w.must(os.WriteFile(w.path("pid"), []byte(old), 0o644))
		}
		w.must(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 0, Max: limit.Max}))
		err := writePIDFile(w.path("pid"))
		w.must(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
		if want := "PID file " + w.path("pid") + ": file too large"; err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", old, err, want)
		}
		if old != "no file" {
			w.wantPIDFile(w.path("pid"), old)
		} else if files, _ := filepath.Glob(w.path("*pid*")); len(files) > 0 {
			t.Errorf("left behind: %q", files)
		}
	}
}

// TestPIDFileAtOnce: while the file is replaced again and again, it is never empty.
func TestPIDFileAtOnce(t *testing.T) {
	w := newWorld(t)
	path, own := w.path("pid"), strconv.Itoa(os.Getpid())
	w.must(os.WriteFile(path, []byte(w.ended()), 0o644))
	var writing sync.WaitGroup
	for range 4 {
		writing.Go(func() {
			for range 50 {
				if err := writePIDFile(path); err != nil {
					t.Error(err)
				}
				if content, err := os.ReadFile(path); err != nil || len(content) == 0 {
					t.Errorf("the PID file has %q, %v", content, err)
				}
			}
		})
	}
	writing.Wait()
	w.wantPIDFile(path, own)
}
