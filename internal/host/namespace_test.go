package host

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

func TestParseNamespacePIDs(t *testing.T) {
	check := func(name, status string, want ...int) {
		t.Helper()
		if got := parseNamespacePIDs([]byte(status)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	check("a process of this namespace", "Name:\tcat\nNSpid:\t7203\nNSpgid:\t7203\n", 7203)
	check("a sandbox", "Pid:\t7203\nNSpid:\t7203\t1\n", 7203, 1)
	check("a sandbox of another namespace", "NStgid:\t23290\t14\t1\nNSpid:\t23290\t13\t1\n", 23290, 13, 1)
	check("an old kernel", "Name:\tcat\nPid:\t7203\n")
	check("an empty file", "")
	check("something else", "Pid:\t7203\nNSpid:\t7203\t-1\n")
	check("no newline", "Pid:\t7203\nNSpid:\t7203\t1", 7203, 1)
}

// TestProcessOfNamespaces: what the kernel tells about real processes.
func TestProcessOfNamespaces(t *testing.T) {
	if pids := NamespacePIDs(os.Getpid()); len(pids) == 0 || pids[0] != os.Getpid() {
		t.Errorf("the PIDs of this process are %v", pids)
	}
	if args := CommandLine(os.Getpid()); !slices.Equal(args, os.Args) {
		t.Errorf("the command line of this process is %q, want %q", args, os.Args)
	}
	pidfd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	if pids := NamespacePIDsOf(pidfd); !slices.Equal(pids, NamespacePIDs(os.Getpid())) {
		t.Errorf("the PIDs of this process are %v by its pidfd", pids)
	}
	for _, none := range []int{0, -1, 1 << 22} {
		if pids, args := NamespacePIDs(none), CommandLine(none); pids != nil || args != nil {
			t.Errorf("process %d: %v, %q", none, pids, args)
		}
	}
	long := exec.Command("sleep", "600", strings.Repeat("0", 1000))
	c := startCommand(t, long, nil)
	testkit.Until(t, "a long command line is read", func() bool { return slices.Equal(CommandLine(c.pid), long.Args) }) // exec may not be over
	c.kill()
	if pids, args := NamespacePIDs(c.pid), CommandLine(c.pid); !slices.Equal(pids, []int{c.pid}) && len(pids) == 0 || args != nil {
		t.Errorf("a zombie: %v, %q", pids, args)
	}
	c.reap()
	if pids := NamespacePIDs(c.pid); pids != nil {
		t.Errorf("a process that was reaped: %v", pids)
	}
}

// TestCommandLine: a command line that is longer than usual is whole, up to a limit.
func TestCommandLine(t *testing.T) {
	check := func(lengths ...int) {
		t.Helper()
		args := []string{"/bin/sh", "-c", "read line"}
		for _, n := range lengths {
			args = append(args, strings.Repeat("x", n))
		}
		c := exec.Command(args[0], args[1:]...)
		in, err := c.StdinPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Join(args, " ")
		if got := strings.Join(CommandLine(c.Process.Pid), " "); got != want[:min(len(want), maxCommandLine)] {
			t.Errorf("arguments of %d bytes: %d bytes instead of %d", lengths, len(got), len(want))
		}
		in.Close()
		_ = c.Wait() // it has read nothing, which is a failure
	}
	check(1)
	check(5000, 1)
	check(100_000, 100_000)
}
