package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A process is started and ended by the bench.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func start(ctx context.Context, name string, args ...string) (*process, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &process{cmd, in, bufio.NewReader(out)}, cmd.Start()
}

func (p *process) stop() {
	p.in.Close()
	p.interrupt()
	_ = p.cmd.Wait()
}

func (p *process) interrupt() { _ = p.cmd.Process.Signal(unix.SIGTERM) }

// cpu returns the CPU time of the process, by the kernel's accounting.
func (p *process) cpu() (time.Duration, error) { return cpuOf(p.cmd.Process.Pid) }

// cpuOf reads the CPU-time clock of a process. The kernel derives the number of that clock from the
// PID.
func cpuOf(pid int) (time.Duration, error) {
	const schedulerClock = 2
	var at unix.Timespec
	err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &at)
	return time.Duration(at.Nano()), err
}

// memory returns the resident memory of the process in bytes.
func (p *process) memory() (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); fields[0] == "VmRSS:" {
			kb, err := strconv.Atoi(fields[1])
			return kb << 10, err
		}
	}
	return 0, errors.New("no VmRSS in /proc/PID/status")
}

// simulated is a running fleet.
type simulated struct {
	*process
	root string
}

func startFleet(ctx context.Context, program string, f fleet) (*simulated, error) {
	root, err := os.MkdirTemp("", "smbench")
	if err != nil {
		return nil, err
	}
	args := append([]string{"simulate", "--root", root, "--sandboxes", strconv.Itoa(f.sandboxes), "--points", strconv.Itoa(f.points)}, f.flags...)
	p, err := start(ctx, program, args...)
	if err != nil {
		return nil, err
	}
	_, err = p.out.ReadString('\n') // its first line says that it is ready
	return &simulated{p, root}, err
}

func (s *simulated) stop() {
	s.process.stop()
	os.RemoveAll(s.root)
}

// server is the measured program.
type server struct {
	*process
	client *http.Client
	socket string
}

// onlySent makes pages that have the points that the floor client fetches, and no counters that are
// zero.
const onlySent = "--zero-counters=off"

// noUsage is for fleets whose sandboxes have no processes of their own.
const noUsage = "--usage=off"

// servers counts the servers, for the names of their sockets.
var servers atomic.Int32

// startServer starts the server, with a limit on its file descriptors unless limit is 0.
func startServer(ctx context.Context, program, root string, limit int, flags ...string) (*server, error) {
	socket := filepath.Join(root, fmt.Sprintf("m%d.sock", servers.Add(1)))
	args := append([]string{"serve", "--log.level=error", "--root", root, "--web.listen-address", socket}, flags...)
	if limit > 0 {
		args = append([]string{"-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, limit), program}, args...)
		program = "sh"
	}
	p, err := start(ctx, program, args...)
	if err != nil {
		return nil, err
	}
	for range 1000 {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			conn.Close()
			dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			}
			return &server{p, &http.Client{Transport: &http.Transport{DialContext: dial, DisableCompression: true}}, socket}, nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	p.stop()
	return nil, errors.New("the server does not listen")
}

// scrape fetches one page per scraper of the fleet, all at once. It returns the total cost, and the
// length of a page in bytes.
func (s *server) scrape(f fleet) (cost, int, error) {
	before, err := s.cpu()
	if err != nil {
		return cost{}, 0, err
	}
	began := time.Now()
	sizes, errs := make([]int, f.scrapers), make([]error, f.scrapers)
	var wait sync.WaitGroup
	for i := range f.scrapers {
		wait.Go(func() { sizes[i], errs[i] = s.get("http://sandmeter/metrics"+f.query, f.header) })
	}
	wait.Wait()
	wall := time.Since(began)
	after, err := s.cpu()
	return cost{after - before, wall}, sizes[0], errors.Join(append(errs, err)...)
}

func (s *server) get(url string, header http.Header) (int, error) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	request.Header = header
	resp, err := s.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return int(n), err
}
