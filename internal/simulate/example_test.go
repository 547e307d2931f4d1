package simulate_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

func Example() {
	root, err := os.MkdirTemp("", "runsc-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(root)

	sandbox, err := simulate.Start(root, simulate.Spec{ID: "web", Pod: "nginx", Namespace: "prod"})
	if err != nil {
		panic(err)
	}
	defer sandbox.Remove()
	sandbox.Add("fs_opens", nil, 9)
	fmt.Println(ask(sandbox.SocketPath()))

	sandbox.SetBehavior(simulate.Replace(`"int":60`, `"int":-1`))
	fmt.Println(ask(sandbox.SocketPath()))
	// Output:
	// "name":"fs_opens","type":2,"help":"Number of file opens."},"val":{"int":60}}]}}}
	// "name":"fs_opens","type":2,"help":"Number of file opens."},"val":{"int":-1}}]}}}
}

// ask returns the end of the reply to an Export of one metric.
func ask(socket string) string {
	c, err := net.Dial("unix", socket)
	if err != nil {
		panic(err)
	}
	defer c.Close()
	io.WriteString(c, `{"method":"Metrics.Export","arg":{"only_metrics":"fs_opens"}}`)
	reply := make([]byte, 4096)
	n, _ := c.Read(reply)
	_, point, _ := strings.Cut(string(reply[:n]), `{"metric":{`)
	return point
}
