//go:build linux

package metricclient_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/metricclient"
	"github.com/sandmeter/sandmeter/metricserver"
)

// A platform registers a sandbox when it starts it, and unregisters it just before it destroys it.
// In between, the sandbox runs for a short time, and no scrape has to meet it.
func ExampleMetricClient_RegisterSandbox() {
	root, err := os.MkdirTemp("", "runsc")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(root)
	stop, address, err := serve(root) // instead of sandmeter serve --web.enable-registration
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := metricclient.NewMetricClient(address, root)
	defer client.Close()

	job, err := simulate.Start(root, simulate.Spec{ID: "job", Points: []simulate.Point{}}) // instead of runsc run
	if err != nil {
		fmt.Println(err)
		return
	}
	defer job.Remove() // instead of runsc delete
	registered, err := client.RegisterSandbox(ctx, job.ID())
	refused := new(metricclient.RefusedError)
	switch {
	case errors.Is(err, metricclient.ErrNoSandbox):
		fmt.Println("it does not start")
		return
	case errors.As(err, &refused):
		fmt.Println("it has no metrics:", refused.Reason)
		return
	case err != nil:
		fmt.Println(err)
		return
	}
	fmt.Println("registered", registered.ID)

	if err := job.Add("fs_opens", nil, 1000); err != nil { // instead of a workload
		fmt.Println(err)
		return
	}
	page, err := client.GetMetrics(ctx, map[string]string{"sandbox": registered.ID})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := client.UnregisterSandbox(ctx, registered.ID); err != nil {
		fmt.Println(err)
		return
	}
	for s, err := range page.Samples() {
		if err != nil || s.Labels["iteration"] != registered.Iteration {
			continue
		}
		switch s.Name {
		case "runsc_fs_opens_total":
			fmt.Println("files opened:", s.Text)
		case "sandmeter_sandbox_cpu_seconds_total": // not without a cgroup, as here
			fmt.Println("CPU seconds:", s.Text)
		}
	}
	// Output:
	// registered job
	// files opened: 1000
}

// serve runs a server of all sandboxes of a root until stop is called.
func serve(root string) (stop func(), address string, err error) {
	address = root + "/metrics.sock"
	listening := make(chan struct{})
	server, err := metricserver.New(metricserver.Options{
		Roots:             []string{root},
		Addresses:         []string{address},
		EnableRegistering: true,
		Listening:         func([]net.Addr) error { close(listening); return nil },
	})
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	select {
	case <-listening:
	case err := <-ended:
		cancel()
		return nil, "", err
	}
	return func() {
		cancel()
		if err := <-ended; err != nil {
			fmt.Println(err)
		}
	}, address, nil
}
