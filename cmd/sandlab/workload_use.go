package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A use is a known use of resources, after which the workload idles: for tests of what the host
// measures.
type use struct {
	cpu       time.Duration // of the workload, as it measures itself
	memory    int           // megabytes that it holds
	processes int           // idle ones, besides its own
	traffic   int           // megabytes that it sends to address
	address   string        // of UDP; empty: none
}

// useDone is how many times a workload opens a file when it has used all, so that the page shows it.
const useDone = 1000

const megabyte = 1_000_000

func (u use) run(ctx context.Context, self string) error {
	for range u.processes {
		idle := exec.CommandContext(ctx, self, "workload", "idle")
		if err := idle.Start(); err != nil {
			return err
		}
		defer func() { _ = idle.Wait() }()
	}
	memory := make([]byte, u.memory*megabyte)
	for i := 0; i < len(memory); i += os.Getpagesize() {
		memory[i] = 1
	}
	if err := burn(u.cpu); err != nil {
		return err
	}
	if err := u.send(ctx); err != nil {
		return err
	}
	if err := openFile(self, useDone, 0); err != nil {
		return err
	}
	<-ctx.Done()
	runtime.KeepAlive(memory)
	return nil
}

// burn uses CPU time until this process has used that much.
func burn(cpu time.Duration) error {
	for used := time.Duration(0); used < cpu; {
		var now unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &now); err != nil {
			return err
		}
		used = time.Duration(now.Utime.Nano() + now.Stime.Nano())
	}
	return nil
}

// spawn runs a number of processes, one after the other, that use CPU time and end, and whose usage
// is not added to this one's, because it ignores SIGCHLD. Then it opens files as a use does.
func spawn(ctx context.Context, self string, n int, cpu time.Duration) error {
	signal.Ignore(unix.SIGCHLD)
	for range n {
		child := exec.CommandContext(ctx, self, "workload", "burn", cpu.String())
		if err := child.Start(); err != nil {
			return err
		}
		// The kernel reaps the child, so there is nothing to wait for when it has ended.
		if err := child.Wait(); err != nil && !errors.Is(err, unix.ECHILD) {
			return err
		}
	}
	if err := openFile(self, useDone, 0); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// send sends datagrams until the interfaces have sent the traffic. A busy machine drops datagrams on
// the way to an interface, so counting them is not enough.
func (u use) send(ctx context.Context) error {
	if u.address == "" {
		return nil
	}
	conn, err := net.Dial("udp", u.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	before, err := transmitted()
	if err != nil {
		return err
	}
	for sent := 0; sent < u.traffic*megabyte && ctx.Err() == nil; {
		if err := sendBatch(conn); err != nil {
			return err
		}
		now, err := transmitted()
		if err != nil {
			return err
		}
		sent = now - before
	}
	return ctx.Err()
}

// sendBatch sends 100 datagrams of 1,000 bytes. Nothing listens at the address. The host says so, now
// and then, to a write that then sends nothing, which is no reason to stop.
func sendBatch(conn net.Conn) error {
	for range 100 {
		if _, err := conn.Write(make([]byte, 1000)); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
			return err
		}
	}
	return nil
}

// transmitted returns the bytes that all interfaces have sent.
func transmitted() (sum int, err error) {
	data, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		return 0, err
	}
	const transmitBytes = 8 // after eight fields about what was received
	for line := range strings.Lines(string(data)) {
		_, counters, ok := strings.Cut(line, ":")
		fields := strings.Fields(counters)
		if !ok || len(fields) <= transmitBytes {
			continue // a heading
		}
		n, err := strconv.Atoi(fields[transmitBytes])
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
