// Drop starts threads, drops CAP_NET_ADMIN, and writes the capability sets of each thread, and of a
// thread that starts afterwards.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/sandmeter/sandmeter/internal/privilege"
)

func main() {
	startThreads(4)
	if err := privilege.DropNetAdmin(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	startThreads(1)
	files, _ := filepath.Glob("/proc/self/task/*/status")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has exited
		}
		var sets []string
		for line := range strings.Lines(string(text)) {
			if name, value, _ := strings.Cut(line, ":"); strings.HasPrefix(name, "Cap") && name != "CapBnd" {
				sets = append(sets, name+"="+strings.TrimLeft(strings.TrimSpace(value), "0"))
			}
		}
		fmt.Println(strings.Join(sets, " "))
	}
}

// startThreads starts threads that stay.
func startThreads(n int) {
	started := make(chan bool)
	for range n {
		go func() {
			runtime.LockOSThread()
			started <- true
			select {}
		}()
		<-started
	}
}
