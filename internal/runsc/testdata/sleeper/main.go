// Command sleeper is the program in the sandboxes of tests: depending on its argument it ends at once, or at SIGTERM.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "exit":
			return
		case "fail":
			fmt.Println("sleeper: \x1b[31mtold to fail")
			os.Exit(3)
		}
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	<-ended
}
