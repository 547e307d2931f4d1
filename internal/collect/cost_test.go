package collect

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/expo"
	"github.com/sandmeter/sandmeter/internal/page"
)

// These tests check costs of a scrape that can be counted: allocations, system calls and bytes.
// Benchmarks measure time, which depends on the machine.

const costSandboxes = 100

// costNode starts a fleet in another process and returns a node with a function that scrapes it. A few scrapes
// have been made already.
func costNode(t *testing.T, points int) (n *node, scrape func() int) {
	t.Helper()
	n = newNode(t, nil)
	fleet := exec.Command(os.Args[0])
	fleet.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d", envFleet, n.root, costSandboxes, points))
	fleet.Stderr = os.Stderr
	in, err := fleet.StdinPipe()
	n.must(err)
	out, err := fleet.StdoutPipe()
	n.must(err)
	n.must(fleet.Start())
	t.Cleanup(func() {
		in.Close()
		if err := fleet.Wait(); err != nil {
			t.Errorf("the fleet: %v", err)
		}
	})
	_, err = bufio.NewReader(out).ReadString('\n')
	n.must(err)
	var text []byte
	pages := page.NewBuilder(page.Options{Prefix: "runsc_", Naming: page.RunscNaming, Timestamps: true})
	scrape = func() int {
		p := pages.Build(n.collect(), page.Selection{})
		if p.TextSize() > cap(text) {
			text = make([]byte, 0, p.TextSize())
		}
		text = expo.Text{}.Append(text[:0], p)
		return len(text)
	}
	for range 3 {
		scrape()
		time.Sleep(30 * time.Millisecond) // state files are read again until their last change is 20 ms ago
	}
	if got := strings.Count(string(text), "\nrunsc_fs_opens{"); got != costSandboxes {
		t.Fatalf("%d sandboxes on the page, not %d", got, costSandboxes)
	}
	return n, scrape
}

// refuses reports whether the kernel can refuse file descriptors on a socket (since Linux 6.16). If not,
// the server looks for them in each reply, and again when it hangs up.
func refuses(t *testing.T) bool {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 0) == nil
}

func TestAllocations(t *testing.T) {
	count := func(points int) float64 {
		_, scrape := costNode(t, points)
		var before, after runtime.MemStats
		const rounds = 10
		runtime.ReadMemStats(&before)
		for range rounds {
			scrape()
		}
		runtime.ReadMemStats(&after)
		return float64(after.Mallocs-before.Mallocs) / rounds / costSandboxes
	}
	few, many := count(60), count(170)
	t.Logf("%.2f allocations a sandbox of 60 points, %.2f of 170", few, many)
	most := 4.0
	if !refuses(t) {
		most += 3 // of recvmsg and ioctl
	}
	if few > most {
		t.Errorf("%.2f allocations a sandbox, more than %v", few, most)
	}
	if perPoint := (many - few) / 110; perPoint > 0.01 {
		t.Errorf("%.3f allocations a point", perPoint)
	}
}

func TestBytesAndCalls(t *testing.T) {
	n, scrape := costNode(t, 60)
	before := n.readIO()
	size := scrape()
	after := n.readIO()
	per := func(name string) float64 { return float64(after[name]-before[name]) / costSandboxes }
	t.Logf("a sandbox: %.1f reads of %.0f bytes, %.1f writes of %.0f bytes; the page has %.0f", per("syscr"), per("rchar"), per("syscw"), per("wchar"), float64(size)/costSandboxes)
	if per("syscr") > 2 || per("syscw") > 2 {
		t.Errorf("%.2f reads and %.2f writes a sandbox, more than 2", per("syscr"), per("syscw"))
	}
	// A reply of 60 points has 9 to 12 KB, a request 53 bytes.
	if per("rchar") > 16<<10 || per("wchar") > 256 {
		t.Errorf("%.0f bytes read and %.0f written a sandbox", per("rchar"), per("wchar"))
	}
}

// readIO returns the kernel's I/O counters of this process.
func (n *node) readIO() map[string]int {
	n.Helper()
	data, err := os.ReadFile("/proc/self/io")
	n.must(err)
	counts := make(map[string]int)
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		counts[name], err = strconv.Atoi(value)
		n.must(err)
	}
	return counts
}

func TestSystemCalls(t *testing.T) {
	required := os.Getenv("SANDMETER_REQUIRE_RUNSC") == "1" // as in CI, which installs strace
	strace, err := exec.LookPath("strace")
	switch {
	case err != nil && required:
		t.Fatal(err)
	case err != nil:
		t.Skip("strace is not installed; TestBytesAndCalls counts some of the calls without it")
	}
	n, scrape := costNode(t, 60)
	table := filepath.Join(t.TempDir(), "calls")
	tracer := exec.Command(strace, "-f", "-c", "-o", table, "-p", strconv.Itoa(os.Getpid()))
	stderr, err := tracer.StderrPipe()
	n.must(err)
	n.must(tracer.Start())
	if line, err := bufio.NewReader(stderr).ReadString('\n'); err != nil || !strings.Contains(line, "attached") {
		_ = tracer.Wait()
		if required {
			t.Fatalf("strace cannot attach: %s", strings.TrimSpace(line))
		}
		t.Skipf("strace cannot attach here: %s", strings.TrimSpace(line))
	}
	const rounds = 5
	for range rounds {
		scrape()
	}
	_ = tracer.Process.Signal(syscall.SIGINT)
	_ = tracer.Wait() // it ends by that signal
	calls, err := os.ReadFile(table)
	n.must(err)
	counted := 0.0
	// The number of system calls of the Go runtime itself varies. clock_gettime is one only where the clock source
	// has no vDSO, as in many virtual machines.
	for _, m := range regexp.MustCompile(`(?m)^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$`).FindAllStringSubmatch(string(calls), -1) {
		switch m[2] {
		case "futex", "nanosleep", "madvise", "tgkill", "getpid", "rt_sigreturn", "sched_yield", "total", "clock_gettime", "restart_syscall", "epoll_pwait", "epoll_wait":
			continue
		}
		calls, err := strconv.Atoi(m[1])
		n.must(err)
		counted += float64(calls)
	}
	perSandbox := counted / rounds / costSandboxes
	t.Logf("%.2f system calls a sandbox:\n%s", perSandbox, calls)
	// socket, setsockopt, connect, getsockopt, write, epoll_ctl, read, which may come too early, close, and
	// newfstatat for the state file.
	most := 11.0
	if !refuses(t) {
		most += 2 // recvmsg, shutdown and ioctl instead of setsockopt
	}
	if perSandbox < 6 || perSandbox > most {
		t.Errorf("%.2f system calls a sandbox, not 6 to %v", perSandbox, most)
	}
}
