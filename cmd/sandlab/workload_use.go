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

// parseUse parses CPU MEMORY PROCESSES [TRAFFIC ADDRESS].
func parseUse(args []string) (use, error) {
	if len(args) != 3 && len(args) != 5 {
		return use{}, errors.New("needs three or five numbers")
	}
	cpu, err := time.ParseDuration(args[0])
	u := use{cpu: cpu}
	number := func(text string) int {
		n, numberErr := strconv.ParseUint(text, 10, 20)
		err = errors.Join(err, numberErr)
		return int(n)
	}
	u.memory, u.processes = number(args[1]), number(args[2])
	if len(args) == 5 {
		u.traffic, u.address = number(args[3]), args[4]
	}
	return u, err
}

func (u use) run(ctx context.Context, self string) error {
	for range u.processes {
		idle := exec.CommandContext(ctx, self, "workload", workloadIdle)
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
	if err := u.send(); err != nil {
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
		child := exec.CommandContext(ctx, self, "workload", workloadBurn, cpu.String())
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

// send sends the traffic, in datagrams of 1,000 bytes.
func (u use) send() error {
	if u.address == "" {
		return nil
	}
	conn, err := net.Dial("udp", u.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	const datagram = 1000
	for left := u.traffic * megabyte / datagram; left > 0; {
		// Nothing listens at the address. The host says so, now and then, to a write that then sends
		// nothing, which is no reason to stop.
		switch _, err := conn.Write(make([]byte, datagram)); {
		case err == nil:
			left--
		case !errors.Is(err, unix.ECONNREFUSED):
			return err
		}
	}
	return nil
}
