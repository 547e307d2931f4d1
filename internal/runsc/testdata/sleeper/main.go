// Command sleeper stands for the program in a sandbox: it ends at once if told so, else at SIGTERM.
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
