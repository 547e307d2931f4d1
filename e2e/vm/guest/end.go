package main

import "fmt"

// An end is what became of a container.
type end struct {
	Kind, ID string
	usage
}

// Limits of memory: one that no container reaches, and one for the container that eats it.
const plenty, little = 1 << 30, 160 << 20

// oneEnd runs a container that ends in a way, measures it until its cgroup is gone, and removes it.
func oneEnd(e engine, kind string) (end, error) {
	args, memory := "wait", plenty
	switch kind {
	case "exit-0":
		args = "exit 0"
	case "exit-3":
		args = "exit 3"
	case "oom":
		args, memory = "eat", little
	}
	id, err := do(e.create, "ARGS="+args, fmt.Sprint("MEMORY=", memory))
	if err != nil {
		return end{Kind: kind}, err
	}
	measured := make(chan usage, 1)
	go func() { measured <- measure(id) }()
	for _, command := range e.steps(kind) {
		if _, err := do(command, "ID="+id); err != nil {
			return end{Kind: kind, ID: id}, err
		}
	}
	return end{Kind: kind, ID: id, usage: <-measured}, nil
}

// steps returns the commands that start, end and remove a container.
func (e engine) steps(kind string) []string {
	switch kind {
	case "kill-9":
		return []string{e.start, "pid=$(" + e.pid + ") && test $pid -gt 1 && kill -9 $pid", e.wait, e.remove}
	case "kill":
		return []string{e.start, e.kill, e.wait, e.remove}
	case "stop":
		return []string{e.start, e.stop, e.wait, e.remove}
	case "rm":
		return []string{e.start, e.force}
	}
	return []string{e.start, e.wait, e.remove}
}
