package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/cli"
)

// The kinds of workload.
const (
	workloadIdle  = "idle"  // does nothing until SIGTERM, and ends with an exit status
	workloadBusy  = "busy"  // opens and reads a file once per interval
	workloadTouch = "touch" // opens a file a given number of times, and again at every SIGUSR1
	workloadExit  = "exit"  // ends at once, with an exit status
	workloadUse   = "use"   // uses a known amount of CPU, memory, processes and traffic
	workloadBurn  = "burn"  // uses a known amount of CPU and ends
	workloadLive  = "live"  // opens a file a given number of times, spread over a given time, and ends
	workloadSpawn = "spawn" // starts a number of burns, one after the other, and ignores their ends
)

// A busy workload opens files at a low rate, so that the values of the demo grow without using a
// core. It also opens several files per wake-up to save CPU.
const (
	busyEvery        = 4 * time.Millisecond // the default interval
	busyWakeUp       = 20 * time.Millisecond
	busyReadsPerOpen = 2
)

// A workload runs in the sandboxes of the demo and of tests. Their root filesystem has only this
// program.
type workload struct {
	kind   string
	status int           // with which idle and exit end
	every  time.Duration // of busy
	opens  int           // of touch and live
	life   time.Duration // of live
	spawn  int           // children, of spawn
	use    use           // of use
}

func newWorkloadCommand(cli.Stdio) *cobra.Command {
	return &cobra.Command{
		Use:    "workload idle [STATUS]|busy [EVERY]|touch N|live N TIME|exit [STATUS]|burn CPU|spawn N CPU|use CPU MEMORY PROCESSES [TRAFFIC ADDRESS]",
		Short:  "Run the workload of a sandbox of the demo and of tests, until SIGTERM",
		Hidden: true,
		Args:   cobra.RangeArgs(1, 6),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := parseWorkload(args)
			if err != nil {
				return cli.Usage(err)
			}
			if err := w.run(cmd.Context()); err != nil {
				return err
			}
			if w.status != 0 {
				os.Exit(w.status) // the command itself has no such status
			}
			return nil
		},
	}
}

func parseWorkload(args []string) (workload, error) {
	w := workload{kind: args[0], every: busyEvery}
	switch w.kind {
	case workloadBusy:
		if len(args) == 1 {
			return w, nil
		}
		if every, err := time.ParseDuration(args[1]); err == nil && every > 0 {
			w.every = every
			return w, nil
		}
	case workloadTouch:
		if len(args) == 2 {
			opens, err := strconv.ParseUint(args[1], 10, 31)
			w.opens = int(opens)
			return w, err
		}
	case workloadLive:
		if len(args) == 3 {
			opens, err := strconv.ParseUint(args[1], 10, 31)
			life, lifeErr := time.ParseDuration(args[2])
			w.opens, w.life = int(opens), life
			return w, errors.Join(err, lifeErr)
		}
	case workloadUse:
		if used, err := parseUse(args[1:]); err == nil {
			w.use = used
			return w, nil
		}
	case workloadBurn:
		if len(args) == 2 {
			cpu, err := time.ParseDuration(args[1])
			w.use.cpu = cpu
			return w, err
		}
	case workloadSpawn:
		if len(args) == 3 {
			n, err := strconv.ParseUint(args[1], 10, 20)
			cpu, cpuErr := time.ParseDuration(args[2])
			w.spawn, w.use.cpu = int(n), cpu
			return w, errors.Join(err, cpuErr)
		}
	case workloadIdle, workloadExit:
		if len(args) == 1 {
			return w, nil
		}
		status, err := strconv.ParseUint(args[1], 10, 8)
		if w.status = int(status); len(args) == 2 && err == nil {
			return w, nil
		}
	}
	return w, fmt.Errorf("unknown workload %q", strings.Join(args, " "))
}

func (w workload) run(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	startLikeLibc()
	switch w.kind {
	case workloadBusy:
		opens := max(1, int(busyWakeUp/w.every))
		return repeat(ctx, time.Tick(time.Duration(opens)*w.every), func() error { return openFile(self, opens, busyReadsPerOpen) })
	case workloadTouch:
		more := make(chan os.Signal, 1)
		signal.Notify(more, unix.SIGUSR1)
		defer signal.Stop(more)
		if err := openFile(self, w.opens, 0); err != nil {
			return err
		}
		return repeat(ctx, more, func() error { return openFile(self, w.opens, 0) })
	case workloadLive:
		return live(ctx, self, w.opens, w.life)
	case workloadUse:
		return w.use.run(ctx, self)
	case workloadBurn:
		return burn(w.use.cpu)
	case workloadSpawn:
		return spawn(ctx, self, w.spawn, w.use.cpu)
	case workloadIdle:
		<-ctx.Done()
	}
	return nil
}

// repeat calls do for each value of when, until the context ends.
func repeat[T any](ctx context.Context, when <-chan T, do func() error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-when:
			if err := do(); err != nil {
				return err
			}
		}
	}
}

// live opens a file a number of times, in equal parts from the start to the end of a life. The last
// part comes right before the end, when nobody can ask anymore.
func live(ctx context.Context, path string, opens int, life time.Duration) error {
	const parts = 10
	begin := time.Now()
	for i := range parts {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(begin.Add(life * time.Duration(i) / (parts - 1)))):
		}
		if err := openFile(path, opens*(i+1)/parts-opens*i/parts, 0); err != nil {
			return err
		}
	}
	return nil
}

// openFile opens a file a number of times and reads from it each time. It uses plain system calls,
// because tests count them.
func openFile(path string, opens, reads int) error {
	var buf [512]byte
	for range opens {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: path, Err: err}
		}
		for range reads {
			if _, err := unix.Read(fd, buf[:]); err != nil {
				unix.Close(fd)
				return &os.PathError{Op: "read", Path: path, Err: err}
			}
		}
		unix.Close(fd)
	}
	return nil
}

// startLikeLibc makes the first system call of every program that is linked with glibc. gVisor does
// not implement it, so most sandboxes have the family runsc_unimplemented_syscalls, and ours should
// too.
func startLikeLibc() {
	// With these arguments the call fails everywhere and changes nothing.
	_, _, _ = unix.RawSyscall(unix.SYS_RSEQ, 0, 0, 0)
}
