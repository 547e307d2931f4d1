// Guest is the part of the test that runs in a virtual machine: it ends sandboxes and measures them
// until their cgroups are gone. The containers run the same static program.
//
//	guest ends [-engine docker] KIND...  starts a container per kind, ends it, and writes a line of JSON for each
//	guest app exit N | eat | wait        is the program of a container
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("give a command and its arguments")
	}
	if args[0] == "app" {
		return app(args[1:])
	}
	flags := flag.NewFlagSet("ends", flag.ContinueOnError)
	name := flags.String("engine", "docker", "`name` of what runs containers: docker or containerd")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	e, ok := engines[*name]
	if !ok {
		return errors.New("there is no such engine")
	}
	return endAll(e, flags.Args())
}

// app is the program of containers.
func app(args []string) error {
	switch args[0] {
	case "exit":
		code, err := strconv.Atoi(args[1])
		if err == nil {
			os.Exit(code)
		}
		return err
	case "eat":
		for size := 1 << 20; ; {
			block := make([]byte, size)
			for i := 0; i < size; i += 4096 {
				block[i] = 1
			}
			held = append(held, block)
		}
	}
	for {
		time.Sleep(time.Hour)
	}
}

var held [][]byte // memory that stays in use

// endAll ends a container per kind, all at the same time, and writes what became of each.
func endAll(e engine, kinds []string) error {
	var all sync.WaitGroup
	ends, failures := make([]end, len(kinds)), make([]error, len(kinds))
	for i, kind := range kinds {
		all.Go(func() { ends[i], failures[i] = oneEnd(e, kind) })
	}
	all.Wait()
	out := json.NewEncoder(os.Stdout)
	for _, one := range ends {
		if err := out.Encode(one); err != nil {
			return err
		}
	}
	return errors.Join(failures...)
}
