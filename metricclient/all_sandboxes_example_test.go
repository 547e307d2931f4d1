//go:build linux

package metricclient_test

import (
	"context"
	"fmt"
	"os"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/metricclient"
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
	stop, address, err := serve(root) // runs a metricserver.Server
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()

	client := metricclient.NewMetricClient(address, root)
	defer client.Close()
	page, err := client.GetMetrics(context.Background(), nil)
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
