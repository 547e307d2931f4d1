package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
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
		w.fails("--root={root} --metric-server={socket} metric-server --pid-file={dir}/pid", cli.ExitFail, "PID file {dir}/pid: "+want)
		w.wantPIDFile(path, content)
		w.must(os.Remove(path))
	}
	const another = ", or choose another path"
	running := strconv.Itoa(os.Getppid())
	refused(running+"\n", "it belongs to process "+running+", which is running: stop that process"+another)
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

// TestPIDFileFails: a file that cannot take its place leaves nothing.
func TestPIDFileFails(t *testing.T) {
	w := newWorld(t)
	if err := replaceFile(w.root, "1"); err == nil {
		t.Error("a file has replaced a directory")
	}
	if files, _ := filepath.Glob(w.path(".*.*")); len(files) > 0 {
		t.Errorf("left behind: %q", files)
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
