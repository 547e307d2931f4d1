package main

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// A usage is the last reading of a cgroup, in the units of records. What no reading had is nil.
type usage struct {
	CPU      *float64 `json:"cpu_seconds"`
	OOMKills *float64 `json:"oom_kills"`
	Peak     *float64 `json:"memory_peak_bytes"`
	Readings int
}

// A file is a file of a cgroup and where its value goes.
type file struct {
	name, key string // no key: the file is a number
	unit      float64
	value     **float64
	held      *os.File
}

// interval is how far readings are apart. It makes the last one at most so much too old, and nothing
// waits for it.
const interval = 10 * time.Millisecond

// measure reads the cgroup of a container from when it is there until it is gone.
func measure(id string) (u usage) {
	dir := appears(id)
	files := []*file{
		{name: "cpu.stat", key: "usage_usec ", unit: 1e-6, value: &u.CPU},
		{name: "memory.events", key: "oom_kill ", unit: 1, value: &u.OOMKills},
		{name: "memory.peak", unit: 1, value: &u.Peak},
	}
	for ; ; time.Sleep(interval) {
		for _, f := range files {
			f.read(dir)
		}
		u.Readings++
		if _, err := os.Lstat(dir); err != nil {
			break
		}
	}
	for _, f := range files {
		_ = f.held.Close()
	}
	return u
}

// appears waits for the cgroup of a container, in the place that each engine and driver has for it.
func appears(id string) string {
	for ; ; time.Sleep(interval) {
		for _, dir := range []string{"system.slice/docker-" + id + ".scope", "docker/" + id, "default/" + id} {
			dir = "/sys/fs/cgroup/" + dir
			if _, err := os.Lstat(dir); err == nil {
				return dir
			}
		}
	}
}

// read takes the value of a file, which stays if the file cannot be read.
func (f *file) read(dir string) {
	if f.held == nil {
		held, err := os.Open(dir + "/" + f.name)
		if err != nil {
			return // the controller is not enabled yet, or the kernel has no such file
		}
		f.held = held
	}
	data := make([]byte, 4096)
	n, _ := f.held.ReadAt(data, 0) // nothing if the cgroup is gone: ENODEV
	for line := range strings.Lines(string(data[:n])) {
		number, ok := strings.CutPrefix(strings.TrimSpace(line), f.key)
		if value, err := strconv.ParseFloat(number, 64); ok && err == nil {
			value *= f.unit
			*f.value = &value
		}
	}
}
