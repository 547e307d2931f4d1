package simulate

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkReply measures the encoding of one reply, without a socket.
func BenchmarkReply(b *testing.B) {
	for _, points := range []int{8, 60, 170} {
		b.Run(fmt.Sprint(points), func(b *testing.B) {
			f, err := StartFleet(b.TempDir(), 1, FleetOptions{Points: points})
			if err != nil {
				b.Fatal(err)
			}
			defer f.Remove()
			x := &Exchange{Sandbox: f.Sandboxes[0], Method: MethodExport}
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				buf = f.Sandboxes[0].appendReply(buf[:0], x)
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

// BenchmarkFleet measures the cost of a query in a fleet in another process ("fleet-ns/query", the
// CPU time of that process), queried by 16 clients that take one connection per query. One
// operation queries every sandbox once.
func BenchmarkFleet(b *testing.B) {
	for _, size := range []struct{ sandboxes, points int }{{1000, 8}, {1000, 60}, {1000, 170}, {4000, 60}} {
		b.Run(fmt.Sprintf("%dx%d", size.sandboxes, size.points), func(b *testing.B) {
			root := b.TempDir()
			fleet := startProcess(b, root, size.sandboxes, size.points)
			sockets, _ := filepath.Glob(filepath.Join(root, "*.sock"))
			before := fleet.cpuTime()
			for b.Loop() {
				askAll(b, sockets)
			}
			queries := b.N * size.sandboxes
			b.ReportMetric(float64((fleet.cpuTime()-before).Nanoseconds())/float64(queries), "fleet-ns/query")
		})
	}
}

func askAll(b *testing.B, sockets []string) {
	var next atomic.Int64
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			buf := make([]byte, 64<<10)
			for i := next.Add(1) - 1; i < int64(len(sockets)); i = next.Add(1) - 1 {
				if err := askOnce(sockets[i], buf); err != nil {
					b.Error(err)
				}
			}
		})
	}
	clients.Wait()
}

// askOnce reads one honest reply, which ends with "}}}".
func askOnce(socket string, buf []byte) error {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, exportAll); err != nil {
		return err
	}
	for n := 0; ; {
		m, err := c.Read(buf[n:])
		if err != nil {
			return err
		}
		if n += m; strings.HasSuffix(string(buf[:n]), "}}}") {
			return nil
		}
	}
}

// fleetProcess is the test binary running as a fleet.
type fleetProcess struct {
	b   *testing.B
	in  io.Writer
	out *bufio.Scanner
}

func startProcess(b *testing.B, root string, n, points int) *fleetProcess {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "SIMULATE_FLEET="+root, fmt.Sprintf("SIMULATE_SIZE=%d %d", n, points))
	cmd.Stderr = os.Stderr
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	p := &fleetProcess{b, in, bufio.NewScanner(out)}
	p.read()
	return p
}

func (p *fleetProcess) cpuTime() time.Duration {
	fmt.Fprintln(p.in)
	return p.read()
}

func (p *fleetProcess) read() time.Duration {
	if !p.out.Scan() {
		p.b.Fatal("the fleet's process has ended")
	}
	ns, err := strconv.ParseInt(p.out.Text(), 10, 64)
	if err != nil {
		p.b.Fatal(err)
	}
	return time.Duration(ns)
}
