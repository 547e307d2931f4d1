package main

import (
	"context"
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

// A busy workload opens files at a low rate, so that the values of the demo grow without using a
// core. It also opens several files per wake-up to save CPU.
const (
	busyEvery        = 4 * time.Millisecond // the default interval
	busyWakeUp       = 20 * time.Millisecond
	busyReadsPerOpen = 2
)

// newWorkloadCommand returns the command that runs in the sandboxes of the demo and of tests. Their root
// filesystem has only this program.
func newWorkloadCommand(cli.Stdio) *cobra.Command {
	return &cobra.Command{
		Use:    "workload idle [STATUS]|busy [EVERY]|touch N|live N TIME|exit [STATUS]|burn CPU|spawn N CPU|use CPU MEMORY PROCESSES [TRAFFIC ADDRESS]",
		Short:  "Run the workload of a sandbox of the demo and of tests, until SIGTERM",
		Hidden: true,
		Args:   cobra.RangeArgs(1, 6),
		RunE: func(cmd *cobra.Command, args []string) error {
			run, err := parseWorkload(args)
			if err != nil {
				return cli.Usage(err)
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			startLikeLibc()
			return run(cmd.Context(), self)
		},
	}
}

// A workload runs until it or the context ends. self is the path of this program, a file to open.
type workload func(ctx context.Context, self string) error

func parseWorkload(args []string) (run workload, err error) {
	a := arguments{rest: args[1:]}
	switch args[0] {
	case "idle": // does nothing until SIGTERM, and ends with an exit status
		status := a.status()
		run = func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return exit(status)
		}
	case "exit": // ends at once, with an exit status
		status := a.status()
		run = func(context.Context, string) error { return exit(status) }
	case "busy": // opens and reads a file once per interval
		every := busyEvery
		if len(a.rest) > 0 {
			every = a.duration()
		}
		a.check(every > 0)
		run = func(ctx context.Context, self string) error { return busy(ctx, self, every) }
	case "touch": // opens a file a given number of times, and again at every SIGUSR1
		opens := a.number(31)
		run = func(ctx context.Context, self string) error { return touch(ctx, self, opens) }
	case "live": // opens a file a given number of times, spread over a given time, and ends
		opens, life := a.number(31), a.duration()
		run = func(ctx context.Context, self string) error { return live(ctx, self, opens, life) }
	case "use": // uses a known amount of CPU, memory, processes and traffic
		u := use{cpu: a.duration(), memory: a.number(20), processes: a.number(20)}
		if len(a.rest) > 0 {
			u.traffic, u.address = a.number(20), a.next()
		}
		run = u.run
	case "burn": // uses a known amount of CPU and ends
		cpu := a.duration()
		run = func(context.Context, string) error { return burn(cpu) }
	case "spawn": // starts a number of burns, one after the other, and ignores their ends
		n, cpu := a.number(20), a.duration()
		run = func(ctx context.Context, self string) error { return spawn(ctx, self, n, cpu) }
	}
	if run == nil || a.wrong || len(a.rest) > 0 {
		return nil, fmt.Errorf("unknown workload %q", strings.Join(args, " "))
	}
	return run, nil
}

// arguments are the words after the kind of a workload.
type arguments struct {
	rest  []string
	wrong bool // a word was missing, or not of its type
}

func (a *arguments) check(right bool) { a.wrong = a.wrong || !right }

func (a *arguments) next() (word string) {
	a.check(len(a.rest) > 0)
	if !a.wrong {
		word, a.rest = a.rest[0], a.rest[1:]
	}
	return word
}

func (a *arguments) number(bits int) int {
	n, err := strconv.ParseUint(a.next(), 10, bits)
	a.check(err == nil)
	return int(n)
}

func (a *arguments) duration() time.Duration {
	d, err := time.ParseDuration(a.next())
	a.check(err == nil)
	return d
}

// status returns the exit status, 0 if there is none.
func (a *arguments) status() int {
	if len(a.rest) == 0 {
		return 0
	}
	return a.number(8)
}

// exit ends the program with a status that the command itself does not have.
func exit(status int) error {
	if status != 0 {
		os.Exit(status)
	}
	return nil
}

func busy(ctx context.Context, path string, every time.Duration) error {
	opens := max(1, int(busyWakeUp/every))
	return repeat(ctx, time.Tick(time.Duration(opens)*every), func() error { return openFile(path, opens, busyReadsPerOpen) })
}

func touch(ctx context.Context, path string, opens int) error {
	more := make(chan os.Signal, 1)
	signal.Notify(more, unix.SIGUSR1)
	defer signal.Stop(more)
	if err := openFile(path, opens, 0); err != nil {
		return err
	}
	return repeat(ctx, more, func() error { return openFile(path, opens, 0) })
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
