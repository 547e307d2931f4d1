package metricserver_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/metricserver"
)

// A program serves the metrics of a runtime root until it cancels the context. This root has no
// sandboxes, so the page has only the metrics of the server.
func ExampleServer() {
	root := emptyRoot()
	defer os.RemoveAll(root)

	listening := make(chan []net.Addr, 1)
	server, err := metricserver.New(metricserver.Options{
		Roots:     []string{root},
		Addresses: []string{"localhost:0"},
		Logger:    slog.Default(),
		Listening: func(addrs []net.Addr) error { listening <- addrs; return nil },
	})
	if err != nil {
		log.Fatal(err)
	}

	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()

	select {
	case addrs := <-listening:
		printMetric("http://"+addrs[0].String()+"/metrics", "sandmeter_num_sandboxes_running")
	case err := <-ended:
		log.Fatal(err)
	}

	stop()
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
	fmt.Println("stopped")
	// Output:
	// sandmeter_num_sandboxes_running 0
	// stopped
}

// A program that already has an HTTP server mounts the metrics in it.
func ExampleServer_Handler() {
	root := emptyRoot()
	defer os.RemoveAll(root)

	server, err := metricserver.New(metricserver.Options{Roots: []string{root}})
	if err != nil {
		log.Fatal(err)
	}
	handler, err := server.Handler()
	if err != nil {
		log.Fatal(err)
	}
	defer handler.Close()

	mux := http.NewServeMux()
	mux.Handle("/sandboxes/", http.StripPrefix("/sandboxes", handler))
	ours := httptest.NewServer(mux)
	defer ours.Close()
	printMetric(ours.URL+"/sandboxes/metrics", "sandmeter_num_sandboxes_running")
	// Output:
	// sandmeter_num_sandboxes_running 0
}

// A program passes its own listener, for example for a socket from systemd.
func ExampleServer_Serve() {
	root := emptyRoot()
	defer os.RemoveAll(root)

	server, err := metricserver.New(metricserver.Options{Roots: []string{root}})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, listener) }()
	printMetric("http://"+listener.Addr().String()+"/metrics", "sandmeter_num_sandboxes_running")
	stop()
	fmt.Println(<-ended)
	// Output:
	// sandmeter_num_sandboxes_running 0
	// <nil>
}

// printFrom prints a metric of a server with the options, for a root without sandboxes.
func printFrom(o metricserver.Options, name string) {
	root := emptyRoot()
	defer os.RemoveAll(root)
	o.Roots = []string{root}
	server, err := metricserver.New(o)
	if err != nil {
		log.Fatal(err)
	}
	handler, err := server.Handler()
	if err != nil {
		log.Fatal(err)
	}
	defer handler.Close()
	ours := httptest.NewServer(handler)
	defer ours.Close()
	printMetric(ours.URL+"/metrics", name)
}

// Pages have the names of gVisor's own server with another prefix, and leave out some families.
func ExampleOptions_families() {
	printFrom(metricserver.Options{
		MetricNaming:   metricserver.RunscNaming,
		ExporterPrefix: "gvisor_",
		MetricDeny:     []string{"gvisor_meta_num_sandboxes_broken.*"},
		ZeroCounters:   []string{metricserver.ZeroCountersAll, "suspicious_operations"},
	}, "gvisor_meta_num_sandboxes_running")
	// Output:
	// gvisor_meta_num_sandboxes_running 0
}

// The host's figures have Sandmeter's names and cAdvisor's, and containers have figures too.
func ExampleOptions_usage() {
	printFrom(metricserver.Options{
		Usage: []string{metricserver.UsageOwn, metricserver.UsageCadvisor, metricserver.UsageDetail},
	}, "sandmeter_num_sandboxes_running")
	// Output:
	// sandmeter_num_sandboxes_running 0
}

// Ended sandboxes stay on the page for ten minutes, count in totals, and have a record in a file of at most 10 MB.
func ExampleOptions_ended() {
	dir := emptyRoot()
	defer os.RemoveAll(dir)
	printFrom(metricserver.Options{
		Linger:        10 * time.Minute,
		TotalsBy:      metricserver.TotalsByAnnotation + "example.com/team",
		TotalsMetrics: []string{"fs_opens"},
		FinalRecords:  dir + "/records,max-size=10",
	}, "sandmeter_final_records_written_total")
	// Output:
	// sandmeter_final_records_written_total 0
}

// A server for one group of users, on a Unix socket, lets its clients register sandboxes.
func ExampleOptions_listening() {
	_, err := metricserver.New(metricserver.Options{
		Addresses:         []string{"/run/sandmeter/metrics.sock"},
		SocketMode:        0o660,
		SocketGroup:       "prometheus",
		EnableRegistering: true,
	})
	fmt.Println(err)
	// Output:
	// <nil>
}

// emptyRoot makes a runtime root without sandboxes.
func emptyRoot() string {
	root, err := os.MkdirTemp("", "root")
	if err != nil {
		log.Fatal(err)
	}
	return root
}

// printMetric prints the samples of a metric without their times.
func printMetric(url, name string) {
	response, err := http.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if sample := lines.Text(); strings.HasPrefix(sample, name+" ") {
			fmt.Println(sample)
		}
	}
}

// Errors explain how to fix the options.
func ExampleNew() {
	_, err := metricserver.New(metricserver.Options{ExporterPrefix: "gVisor-", MaxAge: -time.Second})
	fmt.Println(err)
	// Output:
	// max-age "-1s": must not be negative
	// exporter-prefix "gVisor-": use letters, digits and underscores, no digit first: Prometheus refuses other names
}
