package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// envKilled names the environment variable that makes TestKilled start a program with the argument that
// is its value, and wait to be killed.
const envKilled = "SANDMETER_TEST_KILLED"

// TestKilled: when a test is killed, its machine is gone, with all processes.
func TestKilled(t *testing.T) {
	if argument := os.Getenv(envKilled); argument != "" {
		waitToBeKilled(t, argument)
	}
	newMachine(t) // skips the test where there are no machines
	argument := fmt.Sprintf("%d.%d", 1<<20, time.Now().UnixNano())
	test := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
	test.Env = append(os.Environ(), envKilled+"="+argument, "TMPDIR="+t.TempDir())
	stdout, err := test.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := test.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	pids := processes(t, argument)
	if err := test.Process.Kill(); err != nil || line != "started\n" || len(pids) == 0 {
		t.Fatalf("the test says %q and has processes %v: %v", line, pids, err)
	}
	_ = test.Wait()
	for deadline := time.Now().Add(time.Minute); len(pids) > 0; pids = processes(t, argument) {
		if time.Now().After(deadline) {
			for _, pid := range pids {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			t.Fatalf("the killed test has left processes %v", pids)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func waitToBeKilled(t *testing.T, argument string) {
	sleep := newMachine(t).command("sh", "-c", "echo started; exec sleep "+argument)
	sleep.Stdout = os.Stdout
	t.Fatal(sleep.Run())
}

// processes returns the processes that have an argument.
func processes(t *testing.T, argument string) (pids []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		line, _ := os.ReadFile(file) // fails if the process has ended
		if pid, err := strconv.Atoi(strings.Split(file, "/")[2]); err == nil && bytes.Contains(line, []byte(argument)) {
			pids = append(pids, pid)
		}
	}
	return pids
}
