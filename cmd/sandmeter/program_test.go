package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

// A listenFile is a socket as systemd passes it.
type listenFile struct {
	file *os.File
	addr string
}

func (w *world) listenFile(network, address string) listenFile {
	w.Helper()
	l, err := net.Listen(network, address)
	w.must(err)
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	defer l.Close()
	file, err := l.(interface{ File() (*os.File, error) }).File()
	w.must(err)
	w.Cleanup(func() { file.Close() })
	return listenFile{file, l.Addr().String()}
}

// A program is a process of its own.
type program struct {
	*world
	cmd  *exec.Cmd
	errs testkit.Buffer
}

// program starts a command line as systemd starts a service with these sockets.
func (w *world) program(line string, sockets ...*os.File) *program {
	w.Helper()
	// LISTEN_PID is that of the shell, which becomes the program.
	p := &program{world: w, cmd: exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, os.Args[0]}, w.words(line)...)...)}
	p.cmd.Env = append(os.Environ(), programEnv+"=1", fmt.Sprint("LISTEN_FDS=", len(sockets)))
	p.cmd.ExtraFiles, p.cmd.Stderr = sockets, &p.errs
	w.must(p.cmd.Start())
	w.Cleanup(func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() })
	return p
}

// stop ends the program by a signal, and returns its exit code.
func (p *program) stop() int {
	p.Helper()
	p.must(p.cmd.Process.Signal(syscall.SIGTERM))
	return p.wait()
}

// wait waits for the program to end, and returns its exit code.
func (p *program) wait() int {
	p.Helper()
	defer time.AfterFunc(ample, func() { p.cmd.Process.Kill() }).Stop()
	err := p.cmd.Wait()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		p.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}
