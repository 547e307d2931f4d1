package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// floorCommand is the argument that makes the bench a floor client.
const floorCommand = "floor"

// floorWorkers is how many sandboxes the floor client queries at once.
const floorWorkers = 16

// floorClient is the process of the floor client.
type floorClient struct{ *process }

func startFloor(ctx context.Context, root string) (*floorClient, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := start(ctx, self, floorCommand, root)
	return &floorClient{p}, err
}

// round makes the floor client query all sandboxes once.
func (f *floorClient) round() (c cost, err error) {
	if _, err := fmt.Fprintln(f.in); err != nil {
		return c, err
	}
	_, err = fmt.Fscanln(f.out, &c.cpu, &c.wall)
	return c, err
}

// serveFloor queries all sandboxes of the root once per line of standard input, and prints the
// cost. The list of sockets and the buffers are not part of that cost.
func serveFloor(root string) error {
	sockets, err := filepath.Glob(filepath.Join(root, "runsc-*.sock"))
	if err != nil {
		return err
	}
	buffers := make([][]byte, floorWorkers)
	for i := range buffers {
		buffers[i] = make([]byte, 1<<20)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		before, err := cpuOf(os.Getpid())
		if err != nil {
			return err
		}
		began := time.Now()
		if err := queryAll(sockets, buffers); err != nil {
			return err
		}
		wall := time.Since(began)
		after, err := cpuOf(os.Getpid())
		if err != nil {
			return err
		}
		fmt.Println(int64(after-before), int64(wall))
	}
	return lines.Err()
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
