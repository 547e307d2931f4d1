//go:build linux

package metricclient_test

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/metricclient"
	"github.com/sandmeter/sandmeter/metricserver"
)

// A server started by SpawnServer serves only sandboxes created with the client's address. The
// package metricserver serves all sandboxes of a runtime root, in the same process as the reader.
func Example_allSandboxes() {
	root, err := os.MkdirTemp("", "runsc")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(root)
	for id, address := range map[string]string{"web": "localhost:1337", "db": "%RUNTIME_ROOT%/other.sock"} {
		sandbox, err := simulate.Start(root, simulate.Spec{ID: id, MetricServer: address}) // instead of runsc
		if err != nil {
			fmt.Println(err)
			return
		}
		defer sandbox.Remove()
	}

	const address = "%RUNTIME_ROOT%/metrics.sock"
	listening := make(chan struct{})
	server, err := metricserver.New(metricserver.Options{
		Roots:     []string{root},
		Addresses: []string{address},
		Listening: func([]net.Addr) error { close(listening); return nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	select {
	case <-listening:
	case err := <-ended:
		fmt.Println(err)
		return
	}
	defer func() {
		stop()
		if err := <-ended; err != nil {
			fmt.Println(err)
		}
	}()

	client := metricclient.NewMetricClient(address, root)
	defer client.Close()
	page, err := client.GetMetrics(ctx, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for s, err := range page.Samples() {
		if err == nil && s.Name == "sandmeter_sandbox_running" {
			fmt.Println(s.Labels["sandbox"], s.Text)
		}
	}
	// Output:
	// db 1
	// web 1
}
