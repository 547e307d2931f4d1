// Sleep waits for the number of seconds in its argument: the only program of an image for tests.
package main

import (
	"os"
	"time"
)

func main() {
	d, err := time.ParseDuration(os.Args[1] + "s")
	if err != nil {
		panic(err)
	}
	time.Sleep(d)
}
