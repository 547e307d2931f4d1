package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A process is what is executed in the end.
type process struct{ args, env []string }

// newProcess returns the process of a unit's ExecStart=, with more variables in its environment. If
// program is not empty, it is the program.
func newProcess(u unit, program string, more []string) (*process, error) {
	start, ok := u.last("ExecStart")
	if !ok || strings.ContainsAny(start, `"'$%\`) || start[0] != '/' {
		return nil, fmt.Errorf("ExecStart=%s: give a path and words without quotes and variables", start)
	}
	p := &process{args: strings.Fields(start), env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "LANG=C.UTF-8"}}
	if program != "" {
		p.args[0] = program
	}
	if name, ok := u.last("LogsDirectory"); ok {
		p.env = append(p.env, "LOGS_DIRECTORY=/var/log/"+name)
	}
	if name, ok := u.last("RuntimeDirectory"); ok {
		p.env = append(p.env, "RUNTIME_DIRECTORY=/run/"+name)
	}
	p.env = append(p.env, u.all("Environment")...)
	for _, path := range u.all("EnvironmentFile") {
		variables, err := readEnvironment(path)
		if err != nil {
			return nil, err
		}
		p.env = append(p.env, variables...)
	}
	p.env = lastOfEach(append(p.env, more...))
	return p, nil
}

// readEnvironment reads an EnvironmentFile=, which may be missing if its path begins with a dash.
func readEnvironment(path string) ([]string, error) {
	path, optional := strings.CutPrefix(path, "-")
	data, err := os.ReadFile(path)
	if err != nil {
		if optional && errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	variables, err := parseUnit(data) // in this form it has comments and assignments, too
	var env []string
	for _, v := range variables {
		env = append(env, v.name+"="+strings.Trim(v.value, `"'`))
	}
	return env, err
}

// lastOfEach returns the last assignment of each variable.
func lastOfEach(env []string) []string {
	last := map[string]string{}
	for _, assignment := range env {
		name, value, _ := strings.Cut(assignment, "=")
		last[name] = value
	}
	var result []string
	for name, value := range last {
		result = append(result, name+"="+value)
	}
	slices.Sort(result)
	return result
}

// firstInherited is the first descriptor that systemd passes to a service.
const firstInherited = 3

// inheritSockets makes the process inherit the listening sockets of a socket unit, like systemd does.
func (p *process) inheritSockets(path string) error {
	u, err := readUnit(path)
	if err != nil {
		return err
	}
	addresses := u.all("ListenStream")
	for i, address := range addresses {
		network := "tcp"
		if filepath.IsAbs(address) {
			network = "unix"
		}
		l, err := net.Listen(network, address)
		if err != nil {
			return err
		}
		f, err := l.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			return err
		}
		// The numbers of Go's own descriptors are lower only where the program gets its own instead.
		if err := unix.Dup3(int(f.Fd()), firstInherited+i, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	p.env = append(p.env, fmt.Sprintf("LISTEN_FDS=%d", len(addresses)), fmt.Sprintf("LISTEN_PID=%d", os.Getpid()))
	return nil
}
