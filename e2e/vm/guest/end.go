package main

import (
	"fmt"
	"syscall"
)

// An end is what became of a container.
type end struct {
	Kind, ID string
	usage
}

// An engine starts and ends containers whose program is that of this package.
type engine interface {
	create(memory int, args ...string) (id string, err error)
	start(id string) error
	pid(id string) (int, error) // of the sandbox
	kill(id string) error       // with SIGKILL
	stop(id string) error       // with SIGTERM
	wait(id string) error       // until it has ended
	remove(id string, force bool) error
}

var engines = map[string]engine{"docker": docker{}, "containerd": containerd{}}

// plenty is a limit on memory that no container reaches but the one that eats it.
const plenty, little = 1 << 30, 160 << 20

// oneEnd runs a container that ends in a way, measures it until its cgroup is gone, and removes it.
func oneEnd(e engine, kind string) (end, error) {
	args, memory := []string{"wait"}, plenty
	switch kind {
	case "exit-0":
		args = []string{"exit", "0"}
	case "exit-3":
		args = []string{"exit", "3"}
	case "oom":
		args, memory = []string{"eat"}, little
	}
	id, err := e.create(memory, args...)
	if err != nil {
		return end{Kind: kind}, fmt.Errorf("%s: create: %w", kind, err)
	}
	measured := make(chan usage, 1)
	go func() { measured <- measure(id) }()
	if err := e.start(id); err != nil {
		return end{Kind: kind, ID: id}, fmt.Errorf("%s: start: %w", kind, err)
	}
	if err := finish(e, kind, id); err != nil {
		return end{Kind: kind, ID: id}, fmt.Errorf("%s: %w", kind, err)
	}
	return end{Kind: kind, ID: id, usage: <-measured}, nil
}

// finish ends a container, if it does not end by itself, and removes it.
func finish(e engine, kind, id string) error {
	switch kind {
	case "kill-9":
		pid, err := e.pid(id)
		if err != nil {
			return err
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return err
		}
	case "kill":
		if err := e.kill(id); err != nil {
			return err
		}
	case "stop":
		if err := e.stop(id); err != nil {
			return err
		}
	case "rm":
		return e.remove(id, true)
	}
	if err := e.wait(id); err != nil {
		return err
	}
	return e.remove(id, false)
}
