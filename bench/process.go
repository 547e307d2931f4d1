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

// start starts a process. It ends when it is interrupted, and removes what it made, so it must not be killed
// when the context of the bench ends.
func start(name string, args ...string) *process {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	p := &process{cmd, must(cmd.StdinPipe()), bufio.NewReader(must(cmd.StdoutPipe()))}
	check(cmd.Start())
	return p
}

func (p *process) stop() {
	p.in.Close()
	p.interrupt()
	_ = p.cmd.Wait()
}

func (p *process) interrupt() { _ = p.cmd.Process.Signal(unix.SIGTERM) }

// cpu returns the CPU time of the process, by the kernel's accounting.
func (p *process) cpu() time.Duration { return cpuOf(p.cmd.Process.Pid) }

// cpuOf reads the CPU-time clock of a process. The kernel derives the number of that clock from the
// PID.
func cpuOf(pid int) time.Duration {
	const schedulerClock = 2
	var at unix.Timespec
	check(unix.ClockGettime(int32(^pid<<3|schedulerClock), &at))
	return time.Duration(at.Nano())
}

// memory returns the resident memory of the process in bytes.
func (p *process) memory() int {
	text := must(os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid)))
	return must(strconv.Atoi(strings.Fields(string(text))[1])) * os.Getpagesize()
}

// simulated is a running fleet.
type simulated struct {
	*process
	root string
}

func (b *bench) startFleet(f fleet) *simulated {
	root := must(os.MkdirTemp("", "smbench"))
	args := []string{"simulate", "--root", root, "--sandboxes", strconv.Itoa(f.sandboxes), "--points", strconv.Itoa(f.points)}
	s := &simulated{start(b.lab, append(args, f.flags...)...), root}
	if _, err := s.out.ReadString('\n'); err != nil { // its first line says that it is ready
		s.stop()
		check(err)
	}
	return s
}

func (s *simulated) stop() {
	s.process.stop()
	os.RemoveAll(s.root)
}

// server is the measured program.
type server struct {
	*process
	client *http.Client
}

// onlySent makes pages that have the points that the floor client fetches, and no counters that are
// zero.
const onlySent = "--zero-counters=off"

// noUsage is for fleets whose sandboxes have no processes of their own.
const noUsage = "--usage=off"

// servers counts the servers, for the names of their sockets.
var servers atomic.Int32

func (b *bench) startServer(root string, flags ...string) *server {
	socket := filepath.Join(root, fmt.Sprintf("m%d.sock", servers.Add(1)))
	args := append([]string{"serve", "--log.level=error", "--root", root, "--web.listen-address", socket}, flags...)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	s := &server{start(b.program, args...), &http.Client{Transport: &http.Transport{DialContext: dial, DisableCompression: true}}}
	for range 1000 {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			return s
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.stop()
	check(errors.New("the server does not listen"))
	return nil
}

// scrape fetches the pages of one round of the fleet. The cost has the total time, and the length of a page.
func (s *server) scrape(f fleet) cost {
	before, began := s.cpu(), time.Now()
	scrapes := max(1, f.scrapes)
	sizes, errs := make([]int64, scrapes), make([]error, scrapes)
	var next atomic.Int64
	var scrapers sync.WaitGroup
	for range max(1, f.atOnce) {
		scrapers.Go(func() {
			for i := int(next.Add(1)) - 1; i < scrapes; i = int(next.Add(1)) - 1 {
				path := "/metrics"
				if f.query != nil {
					path += f.query(i)
				}
				sizes[i], errs[i] = s.get(io.Discard, path, f.header)
			}
		})
	}
	scrapers.Wait()
	wall := time.Since(began)
	check(errors.Join(errs...))
	return cost{cpu: s.cpu() - before, wall: wall, page: int(sizes[0])}
}

// get gets a page.
func (s *server) get(page io.Writer, path string, header http.Header) (int64, error) {
	request, err := http.NewRequest(http.MethodGet, "http://sandmeter"+path, nil)
	if err != nil {
		return 0, err
	}
	request.Header = header
	response, err := s.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	n, err := io.Copy(page, response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return n, err
}
