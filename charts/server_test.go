package charts

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// deadline is far above what anything here takes.
const deadline = time.Minute

// TestServer starts the server with the rendered arguments, before the node has a runtime root, and
// runs the rendered probes.
func TestServer(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "runsc", "k8s.io")
	if err := os.Mkdir(filepath.Dir(root), 0o755); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	c := container(t, daemonSet(t, values{
		"hostNetwork": true, "port": port, // the addresses are loopback addresses then
		"web":   values{"configSecret": "web", "probeSecret": "client"}, // whose files are not there
		"roots": []any{root, filepath.Join(dir, "runsc", "*")},
		"runsc": values{"paths": []any{filepath.Join(dir, "bin", "runsc")}},
	}))
	plain := func(args []string) []string {
		return slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return strings.Contains(arg, "config.file=") })
	}
	start(t, fmt.Sprint("127.0.0.2:", port), plain(expanded(c.Args))...)

	for _, probe := range probes(c) {
		probe = plain(probe)
		out, err := exec.Command(sandmeter, probe[1:]...).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", strings.Join(probe, " "), err, out)
		}
	}
}

// freePort returns a port that is free on all loopback addresses.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// start starts the program, waits until it serves at the address, and stops it at the end.
func start(t *testing.T, address string, args ...string) {
	t.Helper()
	cmd := exec.Command(sandmeter, args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	serving, done := make(chan struct{}), make(chan struct{})
	var log strings.Builder
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			log.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), address) {
				close(serving)
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-done
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server ended with %v:\n%s", err, log.String())
		}
	})
	select {
	case <-serving:
	case <-done:
		t.Fatalf("the server ended before it served at %s", address)
	case <-time.After(deadline):
		_ = cmd.Process.Kill()
		t.Fatalf("the server does not serve at %s", address)
	}
}
