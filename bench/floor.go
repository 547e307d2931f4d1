package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// floorCommand is the argument that makes the bench a floor client.
const floorCommand = "floor"

// floorWorkers is how many sandboxes the floor client queries at once.
const floorWorkers = 16

// startFloor starts the process of the floor client.
func startFloor(root string) *process { return start(must(os.Executable()), floorCommand, root) }

// round makes the floor client query all sandboxes once.
func (f *process) round() (c cost) {
	must(fmt.Fprintln(f.in))
	must(fmt.Fscanln(f.out, &c.cpu, &c.wall))
	return c
}

// serveFloor queries all sandboxes of the root once per line of standard input, and prints the
// cost. The list of sockets and the buffers are not part of that cost.
func serveFloor(args []string) {
	sockets := must(filepath.Glob(filepath.Join(args[0], "runsc-*.sock")))
	buffers := make([][]byte, floorWorkers)
	for i := range buffers {
		buffers[i] = make([]byte, 1<<20)
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		before, began := cpuOf(os.Getpid()), time.Now()
		check(queryAll(sockets, buffers))
		wall := time.Since(began)
		fmt.Println(int64(cpuOf(os.Getpid())-before), int64(wall))
	}
}

// queryAll queries each sandbox once, with one worker per buffer.
func queryAll(sockets []string, buffers [][]byte) error {
	var next atomic.Int64
	errs := make([]error, len(buffers))
	var wait sync.WaitGroup
	for w, buffer := range buffers {
		wait.Go(func() {
			for errs[w] == nil {
				i := int(next.Add(1)) - 1
				if i >= len(sockets) {
					return
				}
				errs[w] = query(sockets[i], buffer)
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// ends are the possible ends of honest replies, with fields in any order.
var ends = [][]byte{[]byte("}}}"), []byte(`"err":""}`), []byte(`"success":true}`)}

// query fetches a reply.
func query(socket string, buf []byte) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(`{"method":"Metrics.Export","arg":{"only_metrics":""}}`)); err != nil {
		return err
	}
	for n := 0; ; {
		k, err := conn.Read(buf[n:])
		if err != nil {
			return err
		}
		n += k
		for _, end := range ends {
			if bytes.HasSuffix(buf[:n], end) {
				return nil
			}
		}
	}
}

// readFiles returns the time that it takes to read all state files of a directory: the floor of the
// first scrape.
func readFiles(dir string) time.Duration {
	entries := must(os.ReadDir(dir))
	buf := make([]byte, 1<<20)
	began := time.Now()
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".state") {
			f := must(os.Open(filepath.Join(dir, e.Name())))
			for _, err := f.Read(buf); err != io.EOF; _, err = f.Read(buf) {
				check(err)
			}
			f.Close()
		}
	}
	return time.Since(began)
}
